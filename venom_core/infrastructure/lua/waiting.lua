-- What waits in a lane, the most urgent first; what is due enters the line before.
-- keys: task assigned count ready placed due watch wake
-- types: yes
-- args: skip most
-- reply: {now, ms until the next delayed one or -1, ids, envelopes, assignments}
-- uses: now scores wake lanes promote
local now = now_ms()
local due = redis.call('ZSCORE', DUE, type_of(1))
due = due and tonumber(due)
if due and due <= now then due = promote(1, now) end
local ids = redis.call('ZRANGE', queue_of(1), skip, skip + most - 1)
local wait = due and math.max(due - now, 0) or -1
if #ids == 0 then return {now, wait, {}, {}, {}} end
return {now, wait, ids, redis.call('HMGET', TASK, unpack(ids)), redis.call('HMGET', ASSIGNED, unpack(ids))}
