-- What waits in a lane, the most urgent first; what is due enters the line before. An id without an envelope (its
-- task was deleted) leaves the line here, because nobody would ever be given it.
-- keys: task tries assigned count ready placed due watch wake
-- types: yes
-- args: skip most
-- reply: {ms until the next delayed one or -1, ids looked at, ids, envelopes, assignments}
-- uses: now scores wake lanes promote
local now = now_ms()
local due = redis.call('ZSCORE', DUE, type_of(1))
due = due and tonumber(due)
if due and due <= now then due = promote(1, now) end
local found = redis.call('ZRANGE', queue_of(1), skip, skip + most - 1)
local wait = due and math.max(due - now, 0) or -1
if #found == 0 then return {wait, 0, {}, {}, {}} end
local sealed, ids, envelopes = redis.call('HMGET', TASK, unpack(found)), {}, {}
for j, id in ipairs(found) do
  if sealed[j] then
    ids[#ids + 1], envelopes[#ids + 1] = id, sealed[j]
  else
    redis.call('HINCRBY', COUNT, line_of(redis.call('ZSCORE', queue_of(1), id)), -1)
    redis.call('ZREM', queue_of(1), id)
    redis.call('HDEL', TRIES, id)
    redis.call('HDEL', ASSIGNED, id)
  end
end
if #ids < #found then refresh_lane(1) end
return {wait, #found, ids, envelopes, #ids > 0 and redis.call('HMGET', ASSIGNED, unpack(ids)) or {}}
