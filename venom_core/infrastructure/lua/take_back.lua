-- Take leased tasks from a node whose lease ran out (`force` = 0), or single ones from a living node that
-- shows no sign of life (`force` = 1). A crash is counted; the third ends in quarantine. Safe to run
-- twice: a task no longer held under its fence is left alone.
-- keys: task run outcome tries progress assigned join expiry dead cancel wait count ready placed due wake lease audit
-- types: yes
-- args: epoch force result_ttl dead_ttl dead_max crashes_max node_channel
-- rest: (id fence quarantined cancelled type_index) each: the outcome for the case of quarantine, and for the
--       case that somebody had asked to cancel it
-- reply: {'alive'} or {'ok', number returned, number ended}
-- uses: now scores wake lanes tries forgetting ending back joining close
local now = now_ms()
local lease = redis.call('ZSCORE', LEASE, epoch)
if force == '0' and lease then
  if tonumber(lease) >= now then return {'alive'} end
  -- From the first task taken on the node is dead for good: renewing half of what it held would not tell it.
  redis.call('ZADD', LEASE, 0, epoch)
end
local returned, finals, taken = 0, {}, {}
for at = REST, #ARGV, 5 do
  local id, fence = ARGV[at], ARGV[at + 1]
  local held = redis.call('HGET', RUN, id)
  if held and string.find(held, fence, 1, true) == 1 then
    taken[#taken + 1] = id .. ' ' .. fence
    if redis.call('HEXISTS', CANCEL, id) == 1 then
      finals[#finals + 1] = id
      finals[#finals + 1] = ARGV[at + 3]
    elseif count_crash(id, tonumber(crashes_max)) then
      finals[#finals + 1] = id
      finals[#finals + 1] = ARGV[at + 2]
    else
      put_back(tonumber(ARGV[at + 4]), id, held)
      returned = returned + 1
    end
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 10000, '*', 'what', force == '1' and 'rescued' or 'reaped', 'task', id, 'fence', fence)
  end
end
if #finals > 0 then close_tasks(now, finals, tonumber(result_ttl), tonumber(dead_ttl), dead_max) end
if force == '1' then
  for _, order in ipairs(taken) do redis.call('PUBLISH', node_channel, 'stop ' .. order) end
end
return {'ok', returned, #finals / 2}
