-- What is due leaves the delayed part of a lane and enters its line; answers the next moment, or nil.
local PROMOTE_MAX = 200
local function promote(i, now)
  local ids = redis.call('ZRANGE', later_of(i), '-inf', now, 'BYSCORE', 'LIMIT', 0, PROMOTE_MAX)
  if #ids > 0 then
    local envelopes = redis.call('HMGET', TASK, unpack(ids))
    local last, entries, first = redis.call('HINCRBY', COUNT, 'sequence', #ids), {}, nil
    for j = 1, #ids do
      local score = score_of(envelopes[j] and string.byte(envelopes[j], 4) or 0, last - #ids + j)
      if not first or score < first then first = score end
      entries[2 * j - 1] = score
      entries[2 * j] = ids[j]
    end
    redis.call('ZADD', queue_of(i), unpack(entries))
    redis.call('ZREMRANGEBYRANK', later_of(i), 0, #ids - 1)
    redis.call('ZADD', index_of(i), 'LT', first, type_of(i))
  end
  local due = refresh_later(i)
  if not due then redis.call('HDEL', WATCH, type_of(i)) end
  return due
end
