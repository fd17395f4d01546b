-- How many tasks each node should hold for now; a node that is not named has no limit but its slots.
-- keys: budget
-- args: ttl
-- rest: (name tasks) each
-- reply: 1
redis.call('DEL', BUDGET)
for at = REST, #ARGV, 2 do redis.call('HSET', BUDGET, ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', BUDGET, ttl)
return 1
