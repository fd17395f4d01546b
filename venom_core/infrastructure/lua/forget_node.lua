-- Forget a node that has been offline since before `before`.
-- keys: lease names profile load
-- args: name before
-- reply: 1 if forgotten
local epoch = redis.call('HGET', NAMES, name)
if epoch and redis.call('ZSCORE', LEASE, epoch) then return 0 end
local seen = tonumber(string.match(redis.call('HGET', LOAD, name) or '', '^(%d+)|') or 0)
if seen >= tonumber(before) then return 0 end
redis.call('HDEL', NAMES, name)
redis.call('HDEL', PROFILE, name)
redis.call('HDEL', LOAD, name)
return 1
