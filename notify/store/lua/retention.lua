-- Says for how long a node needs the logs to be kept. The longest that was said lately counts.
--
-- A node whose window was made shorter must not let logs go that a session of the longer window still asks for.
--
-- KEYS: retention      ARGV: seconds
-- Returns the seconds that count.

local longest = tonumber(redis.call('GET', KEYS[1]) or 0)
local own = tonumber(ARGV[1])
if own >= longest then
  -- It stands until the last session that relies on it is over: that may have begun just now.
  redis.call('SET', KEYS[1], ARGV[1], 'EX', 2 * own)
  return own
end
return longest
