-- Forget results past their time when nobody settles (settling does it on the way).
-- keys: task outcome join expiry dead
-- args: most
-- reply: number forgotten
-- uses: now forgetting
return forget_expired(now_ms(), tonumber(most))
