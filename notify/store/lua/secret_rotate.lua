#!lua flags=allow-oom
-- Puts a new secret of the cluster in the place of the newest, which is accepted for a while longer.
--
-- KEYS: cluster secret      ARGV: the new secret, ms the former one is accepted
-- Beside `newest` the hash holds each former secret with the unix ms until which it is accepted.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local flat = redis.call('HGETALL', KEYS[1])
local former
for i = 1, #flat, 2 do
  if flat[i] == 'newest' then
    former = flat[i + 1]
  elseif tonumber(flat[i + 1]) <= now then
    redis.call('HDEL', KEYS[1], flat[i])
  end
end
redis.call('HSET', KEYS[1], 'newest', ARGV[1])
if former then
  redis.call('HSET', KEYS[1], former, string.format('%.0f', now + tonumber(ARGV[2])))
end
