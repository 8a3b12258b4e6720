#!lua flags=allow-oom
-- Puts something on the due list, or moves it there. Retractions go on it, too, and work at maxmemory.
--
-- KEYS: due      ARGV: member, unix ms
return redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
