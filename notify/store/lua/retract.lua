#!lua flags=allow-oom
-- Decides that a notification is retracted. From here on nothing of it is published any more (publish.lua).
--
-- KEYS: clock, record, pieces that are published, due
-- ARGV: 1 epoch, 2 member of the due list by which it would be delivered, 3 the one by which this is finished,
--       4 ms until somebody else finishes it
-- Returns 'unknown'; 'cancelled' (it was scheduled, and nobody has seen it: all is done), 'begun' (inboxes and
-- channels are to be told), also by whoever comes again before that is finished, or 'done'.

local record = KEYS[2]
if redis.call('EXISTS', record) == 0 then
  return 'unknown'
end
if redis.call('EXISTS', record .. ':retracted') == 1 then
  return redis.call('ZSCORE', KEYS[4], ARGV[3]) and 'begun' or 'done'
end
redis.call('SET', record .. ':retracted', '1', 'PXAT', redis.call('PEXPIRETIME', record))
if redis.call('EXISTS', record .. ':plan') == 1 and redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('DEL', record .. ':plan')
  redis.call('ZREM', KEYS[4], ARGV[2])
  redis.call('SET', record, without_body(record), 'KEEPTTL')
  return 'cancelled'
end
redis.call('ZADD', KEYS[4], now + tonumber(ARGV[4]), ARGV[3])
return 'begun'
