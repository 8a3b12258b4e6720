-- Appends one message to the logs of its channels and publishes it, under one new offset.
--
-- Everything here is atomic, and nothing is written before everything is known: Redis does not roll a script
-- back. Offsets are totally ordered over all channels, which is what lets one string stand for a client's
-- place in every channel it is in. Since PUBLISH happens in here too, a subscriber sees messages in the
-- order of their offsets.
--
-- KEYS: clock, sent, log...          (one log per channel)
-- ARGV: 1 epoch, should the clock not exist yet
--       2 name of this piece of the notification, or '' when it cannot come twice
--       3 seconds that pieces are remembered
--       4 seconds that the logs live, 0 for an ephemeral message
--       5 entries that a log keeps, about
--       6 unix ms after which the message is not replayed, 0 for never
--       7 what follows the offset: flags, newline, the argument array without its end
--       8... topic...                (one per log)
-- Returns the offset.

local piece = ARGV[2]
if piece ~= '' then
  local seen = redis.call('HGET', KEYS[2], piece)
  if seen then
    return seen
  end
end

local epoch, ms, seq
local clock = redis.call('GET', KEYS[1])
if clock then
  epoch, ms, seq = string.match(clock, '^(%w+)-(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
else
  epoch, ms, seq = ARGV[1], 0, 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now > ms then
  ms, seq = now, 0
else
  seq = seq + 1
end
local entry = string.format('%.0f-%.0f', ms, seq)
local offset = epoch .. '-' .. entry
local message = offset .. ARGV[7] .. ',"' .. offset .. '"]'

redis.call('SET', KEYS[1], offset)
local log_ttl = tonumber(ARGV[4])
for i = 3, #KEYS do
  if log_ttl > 0 then
    redis.call('XADD', KEYS[i], 'MAXLEN', '~', ARGV[5], entry, 'm', message, 'x', ARGV[6])
    redis.call('EXPIRE', KEYS[i], log_ttl)
  end
  redis.call('PUBLISH', ARGV[i + 5], message)
end
if piece ~= '' then
  redis.call('HSET', KEYS[2], piece, offset)
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
return offset
