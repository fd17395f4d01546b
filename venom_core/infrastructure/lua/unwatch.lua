-- A node that would have woken for the next delayed task of a type does not wait any more: another is woken to do so.
-- keys: watch wake
-- types: yes
-- args: epoch
-- reply: 1 if it was the one
-- uses: wake
if string.match(redis.call('HGET', WATCH, type_of(1)) or '', '^(%d+):') ~= epoch then return 0 end
redis.call('HDEL', WATCH, type_of(1))
leave_token(wake_of(1))
leave_token(WAKE)
return 1
