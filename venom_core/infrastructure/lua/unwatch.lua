-- A node that would have woken for the next delayed task of some types does not wait any more: others are woken.
-- keys: ready placed due watch lease wake
-- types: yes
-- args: epoch
-- reply: 1 if it was to wake for any
-- uses: now wake lanes watching
local dues, found = {}, redis.call('ZMSCORE', DUE, unpack(ARGV, 2, T + 1))
for i = 1, T do dues[i] = found[i] and tonumber(found[i]) or nil end
return give_up_watch(dues, epoch, now_ms())
