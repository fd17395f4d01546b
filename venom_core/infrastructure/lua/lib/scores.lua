-- One number orders the queue: level first, then arrival. See domain/priority.py.
local LEVEL = 562949953421312 -- 2^49
local HIGH = 5 * LEVEL
local function priority_of(score) return 10 - math.floor(tonumber(score) / LEVEL) end
local function score_of(priority, sequence) return (10 - priority) * LEVEL + sequence end
local function line_of(score) return tonumber(score) < HIGH and 'high' or 'background' end
