-- At most one token lies in a wake list. A worker that takes it leaves another if work remains,
-- so workers wake one another in a chain and never as a herd.
local function leave_token(list)
  if redis.call('LLEN', list) == 0 then redis.call('LPUSH', list, '1') end
end
