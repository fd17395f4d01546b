-- A lane is the queue of one type. `ready` holds each non-empty lane's first score, `due` the earliest
-- moment in its delayed part, so that neither is found by looking at lanes that are empty.
local function enter_lane(i, id, score)
  redis.call('ZADD', queue_of(i), score, id)
  redis.call('ZADD', READY, 'LT', score, type_of(i))
  leave_token(wake_of(i))
end
local function enter_later(i, id, due)
  redis.call('ZADD', later_of(i), due, id)
  local earlier = redis.call('ZADD', DUE, 'LT', 'CH', due, type_of(i))
  if earlier == 1 then leave_token(wake_of(i)) end
end
local function refresh_lane(i)
  local head = redis.call('ZRANGE', queue_of(i), 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', READY, head[2], type_of(i))
    return tonumber(head[2])
  end
  redis.call('ZREM', READY, type_of(i))
  redis.call('DEL', wake_of(i))
  return nil
end
local function refresh_later(i)
  local head = redis.call('ZRANGE', later_of(i), 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', DUE, head[2], type_of(i))
    return tonumber(head[2])
  end
  redis.call('ZREM', DUE, type_of(i))
  return nil
end
