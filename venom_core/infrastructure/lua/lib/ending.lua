-- What every end of a task shares: the record, when it is forgotten, and who is told.
local INLINE_BYTES = 4096
local function tell_waiters(ids, stored)
  if redis.call('EXISTS', WAIT) == 0 then return end
  local waiters = redis.call('HMGET', WAIT, unpack(ids))
  local letters, told = {}, {}
  for j = 1, #ids do
    if waiters[j] then
      told[#told + 1] = ids[j]
      local record = stored[2 * j]
      if #record > INLINE_BYTES then record = '' end
      local letter = #ids[j] .. ':' .. #record .. ':' .. ids[j] .. record
      for channel in string.gmatch(waiters[j], '[^,]+') do
        local pile = letters[channel]
        if not pile then pile = {}; letters[channel] = pile end
        pile[#pile + 1] = letter
      end
    end
  end
  if #told == 0 then return end
  redis.call('HDEL', WAIT, unpack(told))
  for channel, pile in pairs(letters) do redis.call('PUBLISH', channel, table.concat(pile)) end
end
local function bury_dead(now, dead, most)
  local entry = {}
  for j = 1, #dead do entry[2 * j - 1] = now; entry[2 * j] = dead[j] end
  redis.call('ZADD', DEAD, unpack(entry))
  local excess = redis.call('ZCARD', DEAD) - most
  if excess > 0 then
    local oldest = redis.call('ZRANGE', DEAD, 0, math.min(excess, 1000) - 1)
    forget(oldest)
  end
end
