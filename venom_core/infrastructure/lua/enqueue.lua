-- Store new tasks and put each in line or among the delayed. Safe to run twice: an id that is
-- already there with the same envelope is left as it is; with another, it is reported and unchanged.
-- keys: task outcome count ready placed due wake wait
-- types: yes
-- args: queued_max
-- rest: groups of (type_index priority when reply_to amount (id envelope) * amount); when = "now", "+ms" or "@ms";
--       reply_to = the channel that is to hear of their end, or ''
-- memory: refused when full
-- reply: {'full'} or {'ok', now, index, envelope found, …} (index counts from 0)
-- uses: now scores wake lanes
local now = now_ms()
local counts = redis.call('HMGET', COUNT, 'high', 'background', 'sequence')
local high, background, sequence = tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0)

local function room_needed(room_for)
  local total, group = 0, REST
  while group <= #ARGV do
    local amount = tonumber(ARGV[group + 4])
    total = total + room_for(group + 5, amount)
    group = group + 5 + 2 * amount
  end
  return total
end
local function all(_, amount) return amount end
local function unknown(first, amount)
  for at = first, first + 2 * (amount - 1), 2 do amount = amount - redis.call('HEXISTS', TASK, ARGV[at]) end
  return amount
end
-- A call that is repeated after its reply was lost needs no room for what it stored the first time.
local room = tonumber(queued_max) - high - background
if room_needed(all) > room and room_needed(unknown) > room then return {'full'} end

local reply, seen, stored = {'ok', now}, 0, 0

local function distinct(ids)
  local once, met = {}, {}
  for _, id in ipairs(ids) do
    if not met[id] then once[#once + 1] = id end
    met[id] = true
  end
  return once
end

local function store(first, amount)
  if amount == 1 and redis.call('HSETNX', TASK, ARGV[first], ARGV[first + 1]) == 1 then
    seen = seen + 1
    return {ARGV[first]}
  end
  local ids = {}
  for j = 1, amount do ids[j] = ARGV[first + 2 * j - 2] end
  local known = redis.call('HMGET', TASK, unpack(ids))
  local fresh, pairs_ = {}, {}
  for j = 1, amount do
    local envelope = ARGV[first + 2 * j - 1]
    if not known[j] then
      fresh[#fresh + 1] = ids[j]
      pairs_[#pairs_ + 1] = ids[j]
      pairs_[#pairs_ + 1] = envelope
    elseif known[j] ~= envelope then
      reply[#reply + 1] = seen + j - 1
      reply[#reply + 1] = known[j]
    end
  end
  seen = seen + amount
  if #fresh > 0 and redis.call('HSET', TASK, unpack(pairs_)) < #fresh then return distinct(fresh) end
  return fresh
end

local function line_up(i, priority, ids)
  local entries = {}
  for j = 1, #ids do
    entries[2 * j - 1] = score_of(priority, sequence + j)
    entries[2 * j] = ids[j]
  end
  sequence = sequence + #ids
  redis.call('ZADD', queue_of(i), unpack(entries))
  redis.call('ZADD', index_of(i), 'LT', entries[1], type_of(i))
  leave_token(wake_of(i))
  leave_token_for_any(i)
end

local at = REST
while at <= #ARGV do
  local i, priority, when, amount = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 4])
  local fresh = store(at + 5, amount)
  stored = stored + #fresh
  if #fresh > 0 then
    if priority >= 6 then high = high + #fresh else background = background + #fresh end
    local due = when == 'now' and 0 or tonumber(string.sub(when, 2)) + (string.sub(when, 1, 1) == '+' and now or 0)
    if due > now then
      for j = 1, #fresh do enter_later(i, fresh[j], due) end
      leave_token_for_any(i)
    else
      line_up(i, priority, fresh)
    end
    if ARGV[at + 3] ~= '' then
      for j = 1, #fresh do redis.call('HSET', WAIT, fresh[j], ARGV[at + 3]) end
    end
  end
  at = at + 5 + 2 * amount
end
if stored > 0 then redis.call('HSET', COUNT, 'high', high, 'background', background, 'sequence', sequence) end
return reply
