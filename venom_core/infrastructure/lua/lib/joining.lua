-- How many tasks of each open run have ended; the task "<run>.<number>" is one of its run. Costs nothing while none is open.
local function count_joins(ids, by)
  if redis.call('EXISTS', JOIN) == 0 then return end
  local tally = {}
  for j = 1, #ids do
    local run = string.match(ids[j], '^(.+)%.%d+$')
    if run then tally[run] = (tally[run] or 0) + by end
  end
  for run, amount in pairs(tally) do
    if redis.call('HEXISTS', JOIN, run) == 1 then redis.call('HINCRBY', JOIN, run, amount) end
  end
end
