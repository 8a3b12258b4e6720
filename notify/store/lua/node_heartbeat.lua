-- Says that a node lives, and forgets those that have not said so for long.
--
-- KEYS: nodes      ARGV: node, seconds to live, '1' to say that it has stopped instead
-- Returns the nodes that live.

local now = tonumber(redis.call('TIME')[1])
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
elseif ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)
