-- A node ends its lease: it holds nothing any more, or what it holds is to be taken back at once.
-- keys: lease names profile load last
-- args: epoch name clean
-- reply: 1
if clean == '1' then
  redis.call('ZREM', LEASE, epoch)
  redis.call('HDEL', LAST, 'c' .. epoch, 's' .. epoch)
else
  redis.call('ZADD', LEASE, 'XX', 0, epoch)
end
if redis.call('HGET', NAMES, name) == epoch then
  redis.call('HDEL', NAMES, name)
  redis.call('HDEL', PROFILE, name)
  redis.call('HDEL', LOAD, name)
end
return 1
