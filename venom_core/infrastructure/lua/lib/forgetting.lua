-- An owner ends with its task: everything kept under its id goes together. An entry of `expiry` is an id,
-- or the ids of a batch of completed tasks with spaces between, or a byte 1 and the name of a run.
local FORGET_MAX = 2000
local function forget(entries)
  local gone, ids, runs = {}, {}, {}
  for j, entry in ipairs(entries) do
    if string.byte(entry) == 1 then
      runs[#runs + 1] = string.sub(entry, 2)
    else
      for id in string.gmatch(entry, '%S+') do ids[#ids + 1] = id end
    end
    gone[j] = entry
    if #ids >= FORGET_MAX then break end
  end
  if #ids > 0 then
    redis.call('HDEL', TASK, unpack(ids))
    redis.call('HDEL', OUTCOME, unpack(ids))
  end
  if #runs > 0 then redis.call('HDEL', JOIN, unpack(runs)) end
  redis.call('ZREM', EXPIRY, unpack(gone))
  redis.call('ZREM', DEAD, unpack(gone))
  return #gone
end
local function forget_expired(now, most)
  local entries = redis.call('ZRANGE', EXPIRY, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
  return #entries > 0 and forget(entries) or 0
end
