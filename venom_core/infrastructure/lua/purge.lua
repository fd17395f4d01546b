-- Forget dead letters: the ids given, or with none given all that were there before `before`, in bounded steps.
-- keys: task outcome join expiry dead
-- args: before most
-- rest: ids
-- reply: number forgotten
-- uses: forgetting
local ids = {}
if REST <= #ARGV then
  for at = REST, #ARGV do
    if redis.call('ZSCORE', DEAD, ARGV[at]) then ids[#ids + 1] = ARGV[at] end
  end
else
  ids = redis.call('ZRANGE', DEAD, '-inf', before, 'BYSCORE', 'LIMIT', 0, most)
end
return #ids > 0 and forget(ids) or 0
