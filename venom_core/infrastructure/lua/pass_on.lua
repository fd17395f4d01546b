-- A node that was woken does not claim now: the token it took is for another, if there is still something.
-- keys: wake
-- types: yes
-- reply: 1 if there is
-- uses: wake
if redis.call('EXISTS', queue_of(1), later_of(1)) == 0 then return 0 end
leave_token(wake_of(1))
return 1
