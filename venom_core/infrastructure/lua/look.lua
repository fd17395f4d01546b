-- All that is known of some tasks, read at one moment.
-- keys: task run outcome tries progress assigned
-- rest: ids
-- reply: {now, envelopes, fences, outcomes, tries, progress, assignments}, each a list in the order of the ids
-- uses: now
local ids = {}
for at = REST, #ARGV do ids[#ids + 1] = ARGV[at] end
return {
  now_ms(),
  redis.call('HMGET', TASK, unpack(ids)),
  redis.call('HMGET', RUN, unpack(ids)),
  redis.call('HMGET', OUTCOME, unpack(ids)),
  redis.call('HMGET', TRIES, unpack(ids)),
  redis.call('HMGET', PROGRESS, unpack(ids)),
  redis.call('HMGET', ASSIGNED, unpack(ids)),
}
