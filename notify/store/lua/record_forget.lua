#!lua flags=allow-oom
-- Takes a user who is erased out of a record: out of those whose inboxes have it, as the one it was for, and out of
-- the channels that a retraction would tell.
--
-- KEYS: clock, record
-- ARGV: 1 epoch, 2 user, 3 first lines of the record as they were read, 4 as they are to be, both '' to leave them
--       5 '1' when nobody else was meant, so that the body goes
-- Returns 1, or 0 when the record is to be read again.

local to = KEYS[2] .. ':to'
if redis.call('LREM', to, 0, ARGV[2]) > 0 and redis.call('EXISTS', to) == 0 then
  local left = redis.call('EXISTS', KEYS[2]) == 1 and without_body(KEYS[2])
  if left then
    redis.call('SET', KEYS[2], left, 'KEEPTTL')
  end
end
local was = ARGV[3]
if was ~= '' then
  local record = redis.call('GET', KEYS[2]) or ''
  if string.sub(record, 1, #was) ~= was then
    return record == '' and 1 or 0
  end
  redis.call('SET', KEYS[2], ARGV[4] .. (ARGV[5] == '1' and '' or string.sub(record, #was + 1)), 'KEEPTTL')
end
return 1
