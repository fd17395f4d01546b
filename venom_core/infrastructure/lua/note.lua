-- Progress and partial results of running tasks; refused by index when the fence is stale.
-- keys: run progress wait audit
-- extra: the list of partial results of each task, in the order of `rest`
-- args: ttl partials_max
-- A partial result is kept as "number|data", numbered from 0 over the task's life, because old ones leave.
-- rest: (id fence kind data) each; kind "progress" or "emit"
-- memory: refused when full
-- reply: "refused,indexes,from,0"
local refused = {}
for at = REST, #ARGV, 4 do
  local j = (at - REST) / 4
  local id, fence, kind, data = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local held = redis.call('HGET', RUN, id)
  if not held or string.find(held, fence, 1, true) ~= 1 then
    refused[#refused + 1] = j
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 10000, '*', 'what', 'stale_note', 'task', id, 'fence', fence)
  elseif kind == 'progress' then
    redis.call('HSET', PROGRESS, id, data)
  else
    local list = KEYS[FIXED + 1 + j]
    local last = string.match(redis.call('LINDEX', list, -1) or '', '^(%d+)|')
    redis.call('RPUSH', list, (last and last + 1 or 0) .. '|' .. data)
    redis.call('LTRIM', list, -tonumber(partials_max), -1)
    redis.call('PEXPIRE', list, ttl)
    local waiters = redis.call('HGET', WAIT, id)
    if waiters then
      for channel in string.gmatch(waiters, '[^,]+') do
        redis.call('PUBLISH', channel, #id .. ':-1:' .. id)
      end
    end
  end
end
return table.concat(refused, ',')
