-- End a pending task at once, or leave a wish for the node that runs it. It is looked for in each of the lanes.
-- keys: task run outcome tries progress assigned join expiry dead cancel wait count ready placed due watch wake
-- types: yes
-- args: id record result_ttl dead_max node_channel
-- reply: 'cancelled', 'asked', 'finished', 'unknown', or 'elsewhere' if it is in none of the lanes
-- uses: now scores wake lanes tries forgetting ending joining close
local now = now_ms()
if redis.call('HEXISTS', OUTCOME, id) == 1 then return 'finished' end
local held = redis.call('HGET', RUN, id)
if held then
  local fence = fence_parts(held)
  redis.call('HSET', CANCEL, id, fence .. '|')
  redis.call('PUBLISH', node_channel .. string.match(fence, '^%d+'), 'cancel ' .. id)
  return 'asked'
end
local envelope = redis.call('HGET', TASK, id)
if not envelope then return 'unknown' end
local line = string.byte(envelope, 4) >= 6 and 'high' or 'background'
local function leave_line(i)
  if redis.call('ZREM', queue_of(i), id) == 1 then
    refresh_lane(i)
  elseif redis.call('ZREM', later_of(i), id) == 1 then
    if not refresh_later(i) then
      redis.call('HDEL', WATCH, type_of(i))
      refresh_lane(i) -- a token that lies there for nobody goes too
    end
  else
    return false
  end
  return true
end
local found = false
for i = 1, T do found = found or leave_line(i) end
if not found then return 'elsewhere' end
redis.call('HINCRBY', COUNT, line, -1)
close_tasks(now, {id, record}, tonumber(result_ttl), 0, dead_max)
forget_expired(now, 2)
return 'cancelled'
