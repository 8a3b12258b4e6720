-- Publishes a canary that carries the clock: who hears it has heard everything up to there.
--
-- KEYS: clock      ARGV: topic, token

local clock = redis.call('GET', KEYS[1])
redis.call('PUBLISH', ARGV[1], 'canary ' .. ARGV[2] .. ' ' .. (clock or '-'))
return 1
