-- Report how leased tasks ended. Each is compared with its fence; one that is not held under it any
-- more is refused by index and changes nothing. Safe to run twice: the reply is kept under `number`.
-- keys: task run outcome tries progress assigned join expiry dead cancel wait count last ready placed due wake lease audit
-- types: yes
-- args: epoch number result_ttl dead_ttl dead_max crashes_max groups
-- rest: (fence amount (id record) * amount) * groups, then (id fence verb data type_index) each; verb retry
--       (data = delay ms), back (data unused) or crash (data = record for the case of quarantine)
-- reply: {now, "refused,indexes,from,0", "indexes that somebody wants cancelled, left as they are"}
-- uses: now scores wake lanes tries forgetting ending back joining close
-- tells: others first
local now = now_ms()
local replay = redis.call('HGET', LAST, 's' .. epoch)
local before, refusals, wishes = string.match(replay or '', '^(%d+)|([^|]*)|(.*)$')
if before == number then return {now, refusals, wishes} end

local refused, asked = {}, {}

local function refuse(index, id, fence, verb)
  refused[#refused + 1] = index
  if #refused <= 10 then
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 10000, '*', 'what', 'stale_settle', 'task', id, 'fence', fence, 'verb', verb)
  end
end

local at, index, stored = REST, 0, {}
for _ = 1, tonumber(groups) do
  local fence, amount, ids = ARGV[at], tonumber(ARGV[at + 1]), {}
  for j = 1, amount do ids[j] = ARGV[at + 2 * j] end
  local held, size, n = redis.call('HMGET', RUN, unpack(ids)), #fence, #stored
  for j = 1, amount do
    if held[j] and string.sub(held[j], 1, size) == fence then
      stored[n + 1], stored[n + 2] = ids[j], ARGV[at + 2 * j + 1]
      n = n + 2
    else
      refuse(index + j - 1, ids[j], fence, 'end')
    end
  end
  at, index = at + 2 + 2 * amount, index + amount
end
if #stored > 0 then close_tasks(now, stored, tonumber(result_ttl), tonumber(dead_ttl), dead_max) end

local function retry(lane, id, held, delay)
  local failures, crashes = read_tries(redis.call('HGET', TRIES, id))
  redis.call('HSET', TRIES, id, (failures + 1) .. '.' .. crashes)
  local priority = priority_of(select(2, fence_parts(held)))
  redis.call('HDEL', RUN, id)
  take_from_holder(lane, id)
  redis.call('HINCRBY', COUNT, priority >= 6 and 'high' or 'background', 1)
  if delay > 0 then
    enter_later(lane, id, now + delay)
    leave_token_for_any(lane)
  else
    enter_lane(lane, id, score_of(priority, redis.call('HINCRBY', COUNT, 'sequence', 1)))
  end
end

local wanted_off = at <= #ARGV and redis.call('EXISTS', CANCEL) == 1
for i = at, #ARGV, 5 do
  local id, fence, verb, data, lane = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local held = redis.call('HGET', RUN, id)
  if not held or string.find(held, fence, 1, true) ~= 1 then
    refuse(index, id, fence, verb)
  elseif wanted_off and redis.call('HEXISTS', CANCEL, id) == 1 then
    asked[#asked + 1] = index
  elseif verb == 'retry' then
    retry(lane, id, held, tonumber(data))
  elseif verb == 'crash' and count_crash(id, tonumber(crashes_max)) then
    close_tasks(now, {id, data}, tonumber(result_ttl), tonumber(dead_ttl), dead_max)
  else
    put_back(lane, id, held)
  end
  index = index + 1
end
-- What ends one by one is forgotten one by one: a settle leaves no more to forget than it found.
forget_expired(now, 4 + 2 * index)
refusals, wishes = table.concat(refused, ','), table.concat(asked, ',')
-- A node that was struck off has nobody left to forget its numbers.
if redis.call('ZSCORE', LEASE, epoch) then
  redis.call('HSET', LAST, 's' .. epoch, number .. '|' .. refusals .. '|' .. wishes)
end
return {now, refusals, wishes}
