-- Return what has ended already, and note on the rest who wants to hear of their end.
-- keys: task outcome wait
-- args: channel waiters_max with_envelope
-- rest: ids
-- reply: per id two items: its outcome record, 'pending', 'crowded' or 'unknown'; and its envelope if asked for
local ids = {}
for at = REST, #ARGV do ids[#ids + 1] = ARGV[at] end
local records = redis.call('HMGET', OUTCOME, unpack(ids))
local envelopes = redis.call('HMGET', TASK, unpack(ids))
local waiters = redis.call('HMGET', WAIT, unpack(ids))
local reply, noted = {}, {}

local function note(id, who)
  noted[#noted + 1] = id
  noted[#noted + 1] = who
  return 'pending'
end

local function state_of(j)
  if records[j] then return records[j] end
  if not envelopes[j] then return 'unknown' end
  local who = waiters[j]
  if not who then return note(ids[j], channel) end
  if string.find(',' .. who .. ',', ',' .. channel .. ',', 1, true) then return 'pending' end
  local _, others = string.gsub(who, ',', '')
  if others + 1 >= tonumber(waiters_max) then return 'crowded' end
  return note(ids[j], who .. ',' .. channel)
end

for j = 1, #ids do
  reply[2 * j - 1] = state_of(j)
  reply[2 * j] = with_envelope == '1' and envelopes[j] or ''
end
if #noted > 0 then redis.call('HSET', WAIT, unpack(noted)) end
return reply
