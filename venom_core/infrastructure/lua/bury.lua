-- Strike a dead incarnation off, once nothing is held under it. Its profile stays, so that people see it is offline.
-- keys: lease last
-- args: epoch
-- reply: 1 if struck off, 0 if it lives
-- uses: now
local lease = redis.call('ZSCORE', LEASE, epoch)
if lease and tonumber(lease) >= now_ms() then return 0 end
redis.call('ZREM', LEASE, epoch)
redis.call('HDEL', LAST, 'c' .. epoch, 's' .. epoch)
return 1
