-- Publishes a canary that carries the clock: who hears it has heard everything up to there.
--
-- KEYS: clock      ARGV: topic, token, epoch should the clock not exist yet

local clock = redis.call('GET', KEYS[1])
if not clock then
  clock = ARGV[3] .. '-0-0'
  redis.call('SET', KEYS[1], clock)
end
redis.call('PUBLISH', ARGV[1], 'canary ' .. ARGV[2] .. ' ' .. clock)
return 1
