-- Records the end of tasks that are leased. `stored` is id, record, id, record, … as HSET takes it.
local function close_tasks(now, stored, result_ttl, dead_ttl, dead_max)
  local ids, done, expiry, dead = {}, {}, {}, {}
  local tally = {c = 0, f = 0, x = 0, q = 0}
  for j = 1, #stored / 2 do
    local id = stored[2 * j - 1]
    ids[j] = id
    local mark = string.byte(stored[2 * j], 4)
    if mark == 99 then -- "c": completed tasks never change again, so they are forgotten by the batch
      done[#done + 1] = id
    else
      local letter = string.char(mark)
      tally[letter] = tally[letter] + 1
      if letter ~= 'x' then dead[#dead + 1] = id end
      expiry[#expiry + 1] = now + (letter == 'x' and result_ttl or dead_ttl)
      expiry[#expiry + 1] = id
    end
  end
  tally.c = #done
  if #done > 0 then
    expiry[#expiry + 1] = now + result_ttl
    expiry[#expiry + 1] = table.concat(done, ' ')
  end
  redis.call('HDEL', RUN, unpack(ids))
  redis.call('HSET', OUTCOME, unpack(stored))
  redis.call('ZADD', EXPIRY, unpack(expiry))
  for mark, amount in pairs(tally) do
    if amount > 0 then redis.call('HINCRBY', COUNT, 'ended_' .. mark, amount) end
  end
  if redis.call('EXISTS', TRIES, PROGRESS, CANCEL, ASSIGNED, JOIN) > 0 then
    redis.call('HDEL', TRIES, unpack(ids))
    redis.call('HDEL', PROGRESS, unpack(ids))
    redis.call('HDEL', CANCEL, unpack(ids))
    redis.call('HDEL', ASSIGNED, unpack(ids))
    count_joins(ids, 1)
  end
  if #dead > 0 then bury_dead(now, dead, tonumber(dead_max)) end
  tell_waiters(ids, stored)
end
