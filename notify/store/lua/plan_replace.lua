#!lua flags=allow-oom
-- Puts a plan in the place of another, unless it has changed, or any of it is delivered already.
--
-- KEYS: plan, pieces that are published       ARGV: the plan as it was read, as it is to be
-- Returns 1, or 0 when it is to be read again.

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
