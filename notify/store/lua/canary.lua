-- Publishes a canary that carries the clock: who hears it has heard everything up to there, and at it.
--
-- KEYS: clock      ARGV: topic, token, epoch should the clock not exist yet
-- Publishes `canary <token> <clock> <unix ms of Redis>`. Returns the time here: seconds, microseconds.

local clock = redis.call('GET', KEYS[1])
if not clock then
  clock = ARGV[3] .. '-0-0'
  redis.call('SET', KEYS[1], clock)
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('PUBLISH', ARGV[1], string.format('canary %s %s %.0f', ARGV[2], clock, now))
return time
