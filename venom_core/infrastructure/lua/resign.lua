-- Give the leadership up, if it is held.
-- keys: leader
-- args: name
-- reply: 1 if it was held
local who = string.match(redis.call('GET', LEADER) or '', '^(.*)|%d+$')
if who ~= name then return 0 end
return redis.call('DEL', LEADER)
