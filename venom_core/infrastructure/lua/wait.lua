-- Return what has ended already, and note on the rest who wants to hear of their end.
-- keys: task outcome wait
-- args: channel waiters_max with_envelope
-- rest: ids
-- reply: per id two items: its outcome record, 'pending', 'crowded' or 'unknown'; and its envelope if asked for
local reply = {}
for at = REST, #ARGV do
  local id = ARGV[at]
  local record = redis.call('HGET', OUTCOME, id)
  local envelope = redis.call('HGET', TASK, id)
  if record then
    reply[#reply + 1] = record
  elseif not envelope then
    reply[#reply + 1] = 'unknown'
  else
    local waiters = redis.call('HGET', WAIT, id)
    local _, others = string.gsub(waiters or '', ',', '')
    if not waiters then
      redis.call('HSET', WAIT, id, channel)
      reply[#reply + 1] = 'pending'
    elseif string.find(',' .. waiters .. ',', ',' .. channel .. ',', 1, true) then
      reply[#reply + 1] = 'pending'
    elseif others + 1 >= tonumber(waiters_max) then
      reply[#reply + 1] = 'crowded'
    else
      redis.call('HSET', WAIT, id, waiters .. ',' .. channel)
      reply[#reply + 1] = 'pending'
    end
  end
  reply[#reply + 1] = with_envelope == '1' and envelope or ''
end
return reply
