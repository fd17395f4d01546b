-- A leased task returns to its place in line.
local function put_back(i, id, held)
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
