-- Write a line of the security audit.
-- keys: audit
-- args: what task why node
-- reply: id of the line
return redis.call('XADD', AUDIT, 'MAXLEN', '~', 10000, '*', 'what', what, 'task', task, 'why', why, 'node', node)
