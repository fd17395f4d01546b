-- An owner ends with its task: everything kept under its id goes together. An entry of `expiry` is an id,
-- or the ids of a batch of completed tasks with spaces between.
local FORGET_MAX = 2000
local function forget(entries)
  local gone, ids = {}, {}
  for j, entry in ipairs(entries) do
    for id in string.gmatch(entry, '%S+') do ids[#ids + 1] = id end
    gone[j] = entry
    if #ids >= FORGET_MAX then break end
  end
  redis.call('HDEL', TASK, unpack(ids))
  redis.call('HDEL', OUTCOME, unpack(ids))
  redis.call('ZREM', EXPIRY, unpack(gone))
  redis.call('ZREM', DEAD, unpack(gone))
  return #gone
end
local function forget_expired(now, most)
  local entries = redis.call('ZRANGE', EXPIRY, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
  return #entries > 0 and forget(entries) or 0
end
