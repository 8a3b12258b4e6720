#!lua flags=allow-oom
-- Everybody who had a retracted notification was told: its body goes, and nobody need finish it any more.
--
-- KEYS: clock, record, due
-- ARGV: 1 epoch, 2 member of the due list

local left = redis.call('EXISTS', KEYS[2]) == 1 and without_body(KEYS[2])
if left then
  redis.call('SET', KEYS[2], left, 'KEEPTTL')
end
redis.call('DEL', KEYS[2] .. ':to')
return redis.call('ZREM', KEYS[3], ARGV[2])
