-- Keeps a notification that is to be delivered later: its plan, its record, and its place on the due list.
--
-- KEYS: 1 plan, 2 record, 3 mark of a retracted one, 4 pieces that are delivered, 5 due
-- ARGV: 1 plan, 2 record, 3 unix ms until which both are kept, 4 member of the due list, 5 unix ms at which it is due
-- Returns 0 when an earlier try of the same request did it: it may have been delivered or retracted since.

if redis.call('EXISTS', KEYS[1], KEYS[3], KEYS[4]) > 0 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PXAT', ARGV[3])
redis.call('ZADD', KEYS[5], ARGV[5], ARGV[4])
return 1
