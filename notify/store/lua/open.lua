-- Begins the session of a new connection at the place where the clock stands now.
--
-- KEYS: session, clock, revoked      ARGV: 1 epoch, 2 the token's iat, 3 seconds to live, 4 the session
-- Returns the start offset, or '' when the token was revoked. With 0 seconds nothing is kept.

local revoked = redis.call('GET', KEYS[3])
if revoked and tonumber(ARGV[2]) < tonumber(revoked) then
  return ''
end
local clock = redis.call('GET', KEYS[2])
if not clock then
  clock = ARGV[1] .. '-0-0'
  redis.call('SET', KEYS[2], clock)
end
if tonumber(ARGV[3]) > 0 then
  redis.call('SET', KEYS[1], clock .. '\n' .. ARGV[4], 'EX', ARGV[3])
end
return clock
