-- Take or keep the leadership; a new leader gets a new epoch, the fencing token of what it orders.
-- keys: leader count
-- args: name lease_ms
-- reply: the leader's epoch if it is `name`, else 0
local who, epoch = string.match(redis.call('GET', LEADER) or '', '^(.*)|(%d+)$')
if who and who ~= name then return 0 end
if not who then epoch = redis.call('HINCRBY', COUNT, 'leader_epoch', 1) end
redis.call('SET', LEADER, name .. '|' .. epoch, 'PX', lease_ms)
return tonumber(epoch)
