-- Open a run or note how far it is, and read it. A note only ever goes forward, so that this may run twice.
-- args: record ttl enqueued cancelled fold
-- extra: the run's own hash
-- reply: {} if nobody opened it, or {record, enqueued, cancelled, fold}
local run = KEYS[FIXED + 1]
if record ~= '' then
  redis.call('HSETNX', run, 'record', record)
elseif redis.call('EXISTS', run) == 0 then
  return {}
end
local function forward(field, value)
  if tonumber(value) > tonumber(redis.call('HGET', run, field) or 0) then redis.call('HSET', run, field, value) end
end
forward('enqueued', enqueued)
forward('cancelled', cancelled)
if fold ~= '' then redis.call('HSET', run, 'fold', fold) end
redis.call('PEXPIRE', run, ttl)
local kept = redis.call('HMGET', run, 'record', 'enqueued', 'cancelled', 'fold')
return {kept[1], tonumber(kept[2] or 0), tonumber(kept[3] or 0), kept[4] or ''}
