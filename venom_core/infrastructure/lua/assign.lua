-- Move pending tasks from one lane to another, each at its place in line: to the node it was given to, or back
-- to where it waits to be placed. Safe to run twice: one that is not in the first lane is left alone.
-- keys: assigned ready placed due wake
-- types: yes
-- rest: (id from_index to_index assignment) each; an empty assignment leaves the one that is kept
-- reply: "moved,indexes,from,0"
-- uses: wake lanes
local moved, touched = {}, {}
for at = REST, #ARGV, 4 do
  local id, from, to = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local score = redis.call('ZSCORE', queue_of(from), id)
  if score then
    redis.call('ZREM', queue_of(from), id)
    enter_lane(to, id, score)
    if ARGV[at + 3] ~= '' then redis.call('HSET', ASSIGNED, id, ARGV[at + 3]) end
    moved[#moved + 1] = (at - REST) / 4
    touched[from] = true
  end
end
for i in pairs(touched) do refresh_lane(i) end
return table.concat(moved, ',')
