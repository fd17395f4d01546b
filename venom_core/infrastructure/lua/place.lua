-- Where one pending task stands.
-- keys: run ready due
-- types: yes
-- args: id
-- reply: {now, rank in its queue or -1, due ms or -1, tasks in its queue}
-- uses: now
local rank = redis.call('ZRANK', queue_of(1), id)
local due = redis.call('ZSCORE', later_of(1), id)
return {now_ms(), rank or -1, due or -1, redis.call('ZCARD', queue_of(1))}
