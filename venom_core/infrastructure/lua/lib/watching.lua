-- Of the nodes that sleep, one watches each lane with delayed tasks: it wakes when the first is due. `watch` says who,
-- and until when; who is late, or has no lease any more, is not believed. A node is told of one lane, the earliest that
-- nobody else watches, and looks at all of its lanes when it wakes.
local LATE_MS = 100
local function watched_by_another(entry, due, epoch, now)
  local who, until_ms = string.match(entry or '', '^(%d+):(%d+)$')
  if not who or who == epoch then return false end
  until_ms = tonumber(until_ms)
  if until_ms > due or until_ms + LATE_MS < now then return false end
  local lease = redis.call('ZSCORE', LEASE, who)
  return lease and tonumber(lease) >= now
end
-- A node that watched will not wake for it: somebody is woken for each lane that it alone would have looked at.
local function give_up_watch(dues, epoch, now)
  local entries, mine = redis.call('HMGET', WATCH, unpack(ARGV, 2, T + 1)), 0
  for i = 1, T do
    if entries[i] and string.match(entries[i], '^(%d+):') == epoch then
      redis.call('HDEL', WATCH, type_of(i))
      mine = 1
    end
  end
  for i, due in pairs(mine == 1 and dues or {}) do
    if not watched_by_another(entries[i], due, epoch, now) then
      leave_token(wake_of(i))
      leave_token_for_any(i)
    end
  end
  return mine
end
