-- A lane is the queue of one type, of what waits to be placed ("?"), or of what one node was given ("@name").
-- `ready` holds the first score of each type with work, `placed` that of the other lanes, which nobody claims by
-- type; `due` the earliest moment in a lane's delayed part. So nothing is found by looking at lanes that are empty.
local function is_own(i) return string.byte(type_of(i)) == 64 end
local function index_of(i)
  local first = string.byte(type_of(i))
  return (first == 64 or first == 63) and PLACED or READY
end
local function leave_token_for_any(i)
  if index_of(i) == READY then leave_token(WAKE) end
end
local function enter_lane(i, id, score)
  redis.call('ZADD', queue_of(i), score, id)
  redis.call('ZADD', index_of(i), 'LT', score, type_of(i))
  leave_token(wake_of(i))
  leave_token_for_any(i)
end
local function enter_later(i, id, due)
  redis.call('ZADD', later_of(i), due, id)
  local earlier = redis.call('ZADD', DUE, 'LT', 'CH', due, type_of(i))
  if earlier == 1 then leave_token(wake_of(i)) end
end
local function close_lane(i)
  redis.call('ZREM', index_of(i), type_of(i))
  redis.call('DEL', wake_of(i))
end
local function refresh_lane(i)
  local head = redis.call('ZRANGE', queue_of(i), 0, 0, 'WITHSCORES')
  if head[2] then
    redis.call('ZADD', index_of(i), head[2], type_of(i))
    return tonumber(head[2])
  end
  close_lane(i)
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
