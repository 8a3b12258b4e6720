-- Claims a name for a node.
--
-- KEYS: nodes      ARGV: name, seconds that nodes live without a heartbeat, '1' to take it whoever has it
-- Returns -1 when the name is the caller's now, else for how many seconds nothing was heard of who has it.

local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local heard = redis.call('ZSCORE', KEYS[1], ARGV[1])
if heard and ARGV[3] ~= '1' then
  return math.max(0, now - tonumber(heard))
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return -1
