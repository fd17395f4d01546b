-- Lease up to `count` ready tasks of the given types to a node, most urgent first, first in first out
-- within a level. Safe to run twice: the same `number` again finds the same batch by its fence. With
-- `guard` = 1 an id that was put in line again after it ended (a replay) is not leased.
-- keys: task run outcome tries count last ready placed due watch lease wake dispatch audit
-- types: yes
-- args: epoch number count woken watched guard
-- reply: {'lost', now}, {'late', now}, {'old', now} for a number that was answered or overtaken, or {'ok', now,
--        ms until the next delayed task or -1, the type to watch for it or '', ids, envelopes, tries or {}, those of
--        the ids that were given to this node}
-- uses: now scores wake lanes promote watching
local SHARE = 32 -- one task in so many is taken from a rotating lower level, so that none starves
local CLAIM_MAX = 500 -- Lua unpacks a few thousand arguments at most
-- Redis keeps up to 512 short values as a list, and searches it from its start for each task that ends. One value of
-- more than 64 bytes makes a hash table of it: so many are these with the moment and two bars.
local LONG = 65 - 13 - 2
local now = now_ms()
local lease = redis.call('ZSCORE', LEASE, epoch)
local fence = epoch .. '.' .. number .. '|'
local before, nothing = string.match(redis.call('HGET', LAST, 'c' .. epoch) or '0', '^(%d+)(%-?)$')
local asked_again = lease and lease ~= '0' and before == number and nothing == ''
-- The token that woke a node which may not claim is another's.
local function pass_token_on()
  for i = 1, T do
    if woken == '%' or type_of(i) == woken then
      local ready = redis.call('ZSCORE', index_of(i), type_of(i))
      if ready or redis.call('ZSCORE', DUE, type_of(i)) then leave_token(wake_of(i)) end
    end
  end
  if woken == '*' and redis.call('EXISTS', READY, DUE) > 0 then leave_token(WAKE) end
end
if not asked_again and (not lease or tonumber(lease) < now) then
  pass_token_on()
  return {(lease and lease ~= '0') and 'late' or 'lost', now}
end

-- A claim that was answered or overtaken already comes from a line that its node gave up: nobody would read what
-- it leases.
if not asked_again and tonumber(before) >= tonumber(number) then
  pass_token_on()
  return {'old', now}
end

local given = {}
-- Most hives have neither a delayed task nor one that was tried before.
local rare = redis.call('EXISTS', DUE, TRIES) > 0
local function answer(ids, envelopes, wait, watch)
  if #ids == 0 then return {'ok', now, wait, watch, {}, {}, {}, {}} end
  local tries = rare and redis.call('EXISTS', TRIES) == 1 and redis.call('HMGET', TRIES, unpack(ids)) or {}
  return {'ok', now, wait, watch, ids, envelopes, tries, given}
end

local function claimed_before()
  local ids, cursor = {}, '0'
  repeat
    local page = redis.call('HSCAN', RUN, cursor, 'COUNT', 1000)
    cursor = page[1]
    for j = 1, #page[2], 2 do
      if string.sub(page[2][j + 1], 1, #fence) == fence then
        ids[#ids + 1] = page[2][j]
        if string.find(page[2][j + 1], '|@', 1, true) then given[#given + 1] = page[2][j] end
      end
    end
  until cursor == '0'
  return ids
end
if asked_again then
  local again = claimed_before()
  -- Nobody read how long it was to wait: it asks anew before it sleeps.
  return answer(again, #again > 0 and redis.call('HMGET', TASK, unpack(again)) or {}, 0, watched)
end

local touched = {}

local dues = {}
if rare and redis.call('EXISTS', DUE) == 1 then
  local found = redis.call('ZMSCORE', DUE, unpack(ARGV, 2, T + 1))
  for i = 1, T do
    dues[i] = found[i] and tonumber(found[i]) or nil
    if dues[i] and dues[i] <= now then
      dues[i] = promote(i, now)
      touched[i] = true
    end
  end
end

local ids, scores, types = {}, {}, {}
local function take(i, id, score)
  local j = #ids + 1
  ids[j], scores[j], types[j] = id, score, i
  touched[i] = true
end

local heads
local function open_lanes()
  local lanes = {}
  heads = redis.call('ZMSCORE', READY, unpack(ARGV, 2, T + 1))
  -- A node's own lane is the last, if it has one.
  if is_own(T) then heads[T] = redis.call('ZSCORE', PLACED, type_of(T)) end
  for i = 1, T do
    if heads[i] then lanes[#lanes + 1] = {i = i, head = tonumber(heads[i]), taken = 0} end
  end
  return lanes
end

-- Take the first task at or below a level; turn by turn the lanes rotate, and after each round of them the levels.
local function take_share(lanes, turn)
  local lane = lanes[turn % #lanes + 1]
  local level = math.floor(turn / #lanes) % 11
  local found = redis.call('ZRANGE', queue_of(lane.i), score_of(level, 0), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if not found[1] then return end
  redis.call('ZREM', queue_of(lane.i), found[1])
  take(lane.i, found[1], found[2])
  lane.head = refresh_lane(lane.i)
  if not lane.head then table.remove(lanes, turn % #lanes + 1) end
end

local emptied
local function take_from_one(lane, wanted, all)
  local i, at = lane.i, #ids
  -- ZPOPMIN would descend through the whole index again for each task.
  local first = redis.call('ZRANGE', queue_of(i), 0, wanted - 1, 'WITHSCORES')
  for j = 1, #first, 2 do
    at = at + 1
    ids[at], scores[at], types[at] = first[j], first[j + 1], i
  end
  if all then
    redis.call('DEL', queue_of(i))
    emptied = i
  else
    redis.call('ZREMRANGEBYRANK', queue_of(i), 0, wanted - 1)
  end
  touched[i] = true
end

-- Merge several lanes by score. Only the `wanted` lanes with the smallest heads can matter.
local function take_from_many(lanes, wanted)
  table.sort(lanes, function(a, b) return a.head < b.head end)
  while #lanes > wanted do table.remove(lanes) end
  local window = math.max(8, 2 * math.ceil(wanted / #lanes))
  local spent, left = {}, wanted
  while left > 0 and lanes[1] do
    local lane = lanes[1]
    if not lane.page or lane.at > #lane.page then
      lane.page = redis.call('ZRANGE', queue_of(lane.i), lane.taken, lane.taken + window - 1, 'WITHSCORES')
      lane.at = 1
    end
    local id, score = lane.page[lane.at], lane.page[lane.at + 1]
    if not id or tonumber(score) > lane.head then
      lane.head = id and tonumber(score)
    else
      take(lane.i, id, score)
      lane.taken, lane.at, left = lane.taken + 1, lane.at + 2, left - 1
      if lane.at > #lane.page then
        lane.page = redis.call('ZRANGE', queue_of(lane.i), lane.taken, lane.taken + window - 1, 'WITHSCORES')
        lane.at = 1
      end
      lane.head = lane.page[lane.at] and tonumber(lane.page[lane.at + 1])
    end
    if not lane.head then
      spent[#spent + 1] = table.remove(lanes, 1)
    else
      local k = 1
      while lanes[k + 1] and lanes[k + 1].head < lane.head do
        lanes[k], lanes[k + 1] = lanes[k + 1], lane
        k = k + 1
      end
    end
  end
  for _, list in ipairs({lanes, spent}) do
    for _, lane in ipairs(list) do
      if lane.taken > 0 then redis.call('ZREMRANGEBYRANK', queue_of(lane.i), 0, lane.taken - 1) end
    end
  end
end

local lanes, wanted = open_lanes(), math.min(tonumber(count), CLAIM_MAX)
local all = false
if #lanes > 0 then
  -- A claim that takes all there is passes nobody over.
  all = #lanes == 1 and redis.call('ZCARD', queue_of(lanes[1].i)) <= wanted
  if not all then
    -- Every share that falls due is taken: with one a claim, claims of a steady size would meet the same turns again and again.
    local served = tonumber(redis.call('HGET', COUNT, 'served') or 0)
    for turn = math.floor(served / SHARE), math.floor((served + wanted) / SHARE) - 1 do
      if lanes[1] then take_share(lanes, turn) end
    end
  end
  wanted = wanted - #ids
  if wanted > 0 and #lanes == 1 then
    take_from_one(lanes[1], wanted, all)
  elseif wanted > 0 and #lanes > 1 then
    take_from_many(lanes, wanted)
  end
end

-- A record without an envelope, or with an outcome already, is a ghost or a replay: it leaves the line and does not run.
local live, envelopes = ids, {}
local function drop_ghosts(done)
  local kept, kept_envelopes = {}, {}
  for j = 1, #ids do
    if envelopes[j] and not done[j] then
      kept[#kept + 1] = ids[j]
      kept_envelopes[#kept] = envelopes[j]
    else
      redis.call('HDEL', RUN, ids[j])
      if done[j] then
        redis.call('XADD', AUDIT, 'MAXLEN', '~', 10000, '*', 'what', 'replayed_task', 'task', ids[j])
      end
    end
  end
  live, envelopes = kept, kept_envelopes
end
if #ids > 0 then
  local held, tails, high = {}, {}, 0
  for j = 1, #ids do
    local tail = tails[types[j]]
    if not tail then
      local lane = type_of(types[j])
      tail = '|' .. string.rep('0', LONG - #fence - #scores[j] - #lane) .. now .. '|' .. lane
      tails[types[j]] = tail
    end
    held[2 * j - 1], held[2 * j] = ids[j], fence .. scores[j] .. tail
    if is_own(types[j]) then given[#given + 1] = ids[j] end
    if tonumber(scores[j]) < HIGH then high = high + 1 end
  end
  redis.call('HSET', RUN, unpack(held))
  envelopes = redis.call('HMGET', TASK, unpack(ids))
  local done = guard == '1' and redis.call('HMGET', OUTCOME, unpack(ids)) or {}
  for j = 1, #ids do
    if done[j] or not envelopes[j] then
      drop_ghosts(done)
      break
    end
  end
  if high > 0 then redis.call('HINCRBY', COUNT, 'high', -high) end
  if high < #ids then redis.call('HINCRBY', COUNT, 'background', high - #ids) end
  if not all then redis.call('HINCRBY', COUNT, 'served', #ids) end
end
redis.call('HSET', LAST, 'c' .. epoch, #ids > 0 and number or number .. '-')

for i = 1, T do
  if touched[i] or type_of(i) == woken then
    if i == emptied then close_lane(i) end
    if i ~= emptied and refresh_lane(i) then
      leave_token(wake_of(i))
    elseif is_own(i) then
      leave_token(DISPATCH) -- This node has room for more of what waits to be placed, here or in another partition.
    end
  end
end
-- A claim that was sent before its node was woken knows not by which lane.
for i = 1, woken == '%' and T or 0 do
  if heads[i] and not touched[i] then leave_token(wake_of(i)) end
end
if woken == '*' and redis.call('EXISTS', READY) == 1 then leave_token(WAKE) end

-- Who got less than it asked for will sleep, and is told until when. Who got it all will not.
local wait, watch = -1, ''
local function watch_one()
  local entries, order = redis.call('HMGET', WATCH, unpack(ARGV, 2, T + 1)), {}
  for i in pairs(dues) do order[#order + 1] = i end
  table.sort(order, function(a, b) return dues[a] < dues[b] end)
  for _, i in ipairs(order) do
    if not watched_by_another(entries[i], dues[i], epoch, now) then
      redis.call('HSET', WATCH, type_of(i), epoch .. ':' .. string.format('%.0f', dues[i]))
      wait, watch = math.max(dues[i] - now, 0), type_of(i)
      return
    end
  end
end
if next(dues) then
  if #ids == tonumber(count) then
    give_up_watch(dues, epoch, now)
  else
    watch_one()
  end
end
return answer(live, envelopes, wait, watch)
