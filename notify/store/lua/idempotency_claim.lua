-- Claims an Idempotency-Key for a request, or says what became of the earlier one.
--
-- KEYS: the key's record
-- ARGV: 1 fingerprint of the body as it came, 2 what the answer will be made from, 3 lease in ms, 4 seconds to live
--       5 fingerprint of what the body means
-- Returns {verdict, answer}: new, done (answered before), resume (an earlier request died half-way: its answer
-- is to be used, so that what it published already is found again), busy, reused (a body that means another thing).
--
-- The version before knows the body as it came alone: so a retry finds its request on a node of either version.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local record = redis.call('HMGET', KEYS[1], 'fingerprint', 'answer', 'lease', 'meaning')
if not record[1] then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'answer', ARGV[2], 'lease', now + tonumber(ARGV[3]),
    'meaning', ARGV[5])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  return {'new', ARGV[2]}
end
if record[1] ~= ARGV[1] and record[4] ~= ARGV[5] then
  return {'reused', ''}
end
local lease = tonumber(record[3])
if lease == 0 then
  return {'done', record[2]}
end
if lease > now then
  return {'busy', ''}
end
redis.call('HSET', KEYS[1], 'lease', now + tonumber(ARGV[3]))
return {'resume', record[2]}
