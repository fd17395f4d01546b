-- Every node: profile, load, epoch and lease, read at one moment.
-- keys: lease names profile load
-- reply: {now, name, epoch, lease deadline or '', profile, load, …}
-- uses: now
local reply = {now_ms()}
local names = redis.call('HGETALL', PROFILE)
for j = 1, #names, 2 do
  local name = names[j]
  local epoch = redis.call('HGET', NAMES, name) or ''
  reply[#reply + 1] = name
  reply[#reply + 1] = epoch
  reply[#reply + 1] = epoch ~= '' and redis.call('ZSCORE', LEASE, epoch) or ''
  reply[#reply + 1] = names[j + 1]
  reply[#reply + 1] = redis.call('HGET', LOAD, name) or ''
end
return reply
