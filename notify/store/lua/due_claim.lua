#!lua flags=allow-oom
-- Claims what is due, the earliest first: nobody else gets it until the lease ends, unless it is done before.
--
-- KEYS: due      ARGV: most of them, lease in ms
-- Returns {how many are on the list, ms until the next is due or a lease ends, or -1, member...}.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
if #found > 0 then
  local leased = {}
  for i, member in ipairs(found) do
    leased[2 * i - 1], leased[2 * i] = now + tonumber(ARGV[2]), member
  end
  redis.call('ZADD', KEYS[1], 'XX', unpack(leased))
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local reply = {redis.call('ZCARD', KEYS[1]), first[2] and math.max(0, tonumber(first[2]) - now) or -1}
for i, member in ipairs(found) do
  reply[i + 2] = member
end
return reply
