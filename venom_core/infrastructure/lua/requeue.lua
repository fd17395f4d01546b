-- Put a task that ended badly back in line as if it were new; all counts of tries start anew.
-- keys: task run outcome tries join expiry dead count ready placed due wake
-- types: yes
-- args: id
-- memory: refused when full
-- reply: 'pending', 'completed' (never runs again), 'active' (not ended) or 'unknown'
-- uses: now scores wake lanes joining
local envelope = redis.call('HGET', TASK, id)
local record = redis.call('HGET', OUTCOME, id)
if not envelope then return 'unknown' end
if not record then return 'active' end
if string.sub(record, 4, 4) == 'c' then return 'completed' end
redis.call('HDEL', OUTCOME, id)
redis.call('ZREM', EXPIRY, id)
redis.call('ZREM', DEAD, id)
redis.call('HDEL', TRIES, id)
count_joins({id}, -1)
local priority = string.byte(envelope, 4)
redis.call('HINCRBY', COUNT, priority >= 6 and 'high' or 'background', 1)
enter_lane(1, id, score_of(priority, redis.call('HINCRBY', COUNT, 'sequence', 1)))
return 'pending'
