-- Open or renew the count of a run's ended tasks in this partition, and read it.
-- keys: join expiry
-- args: run opening ttl
-- reply: how many of its tasks have ended, or nothing if it is not counted here
-- uses: now
if opening == '1' then
  redis.call('HSETNX', JOIN, run, 0)
elseif redis.call('HEXISTS', JOIN, run) == 0 then
  return false
end
redis.call('ZADD', EXPIRY, now_ms() + ttl, '\1' .. run)
return tonumber(redis.call('HGET', JOIN, run))
