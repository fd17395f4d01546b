-- What was given to a node and is to be placed anew was given to nobody; what it needs is kept.
local function take_from_holder(i, id)
  if index_of(i) == READY then return end
  local note = redis.call('HGET', ASSIGNED, id)
  if note then redis.call('HSET', ASSIGNED, id, string.match(note, '|.*') or '|') end
end
-- A leased task returns to its place in line.
local function put_back(i, id, held)
  take_from_holder(i, id)
  local _, score = fence_parts(held)
  redis.call('HDEL', RUN, id)
  redis.call('HINCRBY', COUNT, line_of(score), 1)
  enter_lane(i, id, score)
end
-- Its node died under it: counted apart; true when it has now crashed too often and must not run again.
local function count_crash(id, most)
  local failures, crashes = read_tries(redis.call('HGET', TRIES, id))
  crashes = crashes + 1
  redis.call('HSET', TRIES, id, failures .. '.' .. crashes)
  return crashes >= most
end
