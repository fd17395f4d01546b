-- A node takes a lease under a new epoch. The same name again fences its older incarnation at once.
-- keys: lease names profile load count
-- args: name lease_ms profile epoch
-- reply: {epoch, epoch fenced or '', now}
-- uses: now
local now = now_ms()
if epoch == '' then
  -- Never an epoch that was given before, not even by a server that has lost its data since.
  local last = tonumber(redis.call('HGET', COUNT, 'epoch') or 0)
  epoch = string.format('%.0f', math.max(last + 1, now))
  redis.call('HSET', COUNT, 'epoch', epoch)
end
local older = redis.call('HGET', NAMES, name)
if older and older ~= epoch then redis.call('ZADD', LEASE, 'XX', 0, older) end
redis.call('HSET', NAMES, name, epoch)
redis.call('HSET', PROFILE, name, profile)
redis.call('ZADD', LEASE, now + lease_ms, epoch)
return {epoch, older or '', now}
