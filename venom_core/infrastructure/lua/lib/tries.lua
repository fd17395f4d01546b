-- "failures.crashes" of a task that was tried before; absent means none of either.
local function read_tries(text)
  local failures, crashes = string.match(text or '', '^(%d+)%.(%d+)$')
  return tonumber(failures or 0), tonumber(crashes or 0)
end
-- What the running table holds of a task: "epoch.number|score|started ms|type".
local function fence_parts(held)
  return string.match(held, '^([^|]*)|([^|]*)|([^|]*)|(.*)$')
end
