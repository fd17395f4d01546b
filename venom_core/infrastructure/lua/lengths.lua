-- How much waits in each of some lanes.
-- types: yes
-- reply: per lane the number of tasks
local lengths = {}
for i = 1, T do lengths[i] = redis.call('ZCARD', queue_of(i)) end
return lengths
