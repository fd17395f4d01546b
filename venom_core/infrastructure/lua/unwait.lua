-- Nobody in this process waits for these tasks any more.
-- keys: wait
-- args: channel
-- rest: ids
-- reply: number of ids that were noted
local gone = 0
for at = REST, #ARGV do
  local id = ARGV[at]
  local kept = {}
  local waiters = redis.call('HGET', WAIT, id)
  for other in string.gmatch(waiters or '', '[^,]+') do
    if other ~= channel then kept[#kept + 1] = other else gone = gone + 1 end
  end
  if #kept > 0 then
    redis.call('HSET', WAIT, id, table.concat(kept, ','))
  elseif waiters then
    redis.call('HDEL', WAIT, id)
  end
end
return gone
