-- A heartbeat: prolong the lease, leave the load, and learn what this node should know.
-- A lease that ran out but was not taken back yet is still the node's own.
-- keys: lease names load cancel duty budget
-- args: epoch name lease_ms load may_reap duty_ms
-- reply: {'lost', now, '1' if the name has a newer incarnation} or {'ok', now, ids to cancel, epochs to reap, tasks
--        it should hold for now or ''}
-- uses: now
local now = now_ms()
local lease = redis.call('ZSCORE', LEASE, epoch)
local named = redis.call('HGET', NAMES, name)
if not lease or lease == '0' or (named and named ~= epoch) then return {'lost', now, (named and named ~= epoch) and '1' or '0'} end
redis.call('ZADD', LEASE, now + lease_ms, epoch)
redis.call('HSET', LOAD, name, now .. '|' .. load)
local wishes = {}
if redis.call('EXISTS', CANCEL) == 1 then
  local all = redis.call('HGETALL', CANCEL)
  for j = 1, #all, 2 do
    if string.match(all[j + 1], '^%d+') == epoch then wishes[#wishes + 1] = all[j] end
  end
end
local expired = {}
if may_reap == '1' then
  expired = redis.call('ZRANGE', LEASE, '-inf', '(' .. now, 'BYSCORE', 'LIMIT', 0, 16)
  local who = #expired > 0 and redis.call('GET', DUTY)
  if who and who ~= epoch then
    expired = {}
  elseif #expired > 0 then
    redis.call('SET', DUTY, epoch, 'PX', duty_ms)
  end
end
return {'ok', now, wishes, expired, redis.call('HGET', BUDGET, name) or ''}
