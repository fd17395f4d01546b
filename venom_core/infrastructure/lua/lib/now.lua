-- Redis' own clock is the only one that judges leases, delays and expiry.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
