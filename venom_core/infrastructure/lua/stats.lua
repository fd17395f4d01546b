-- The exact counters of one partition.
-- keys: run dead count
-- reply: {high, background, running, dead letters, completed, failed, cancelled, quarantined}
local c = redis.call('HMGET', COUNT, 'high', 'background', 'ended_c', 'ended_f', 'ended_x', 'ended_q')
for j = 1, 6 do c[j] = tonumber(c[j] or 0) end
return {c[1], c[2], redis.call('HLEN', RUN), redis.call('ZCARD', DEAD), c[3], c[4], c[5], c[6]}
