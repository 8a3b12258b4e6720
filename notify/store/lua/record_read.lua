#!lua flags=no-writes,allow-oom
-- Reads what is known of a notification, all at one moment.
--
-- KEYS: record
-- Returns {} when nothing is, or {now, record, unix ms until which it is kept, 1 if retracted, 1 if planned,
-- {user...}} (those whose inboxes have it, when it went to more than one).

local record = redis.call('GET', KEYS[1])
if not record then
  return {}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
return {
  now, record, redis.call('PEXPIRETIME', KEYS[1]), redis.call('EXISTS', KEYS[1] .. ':retracted'),
  redis.call('EXISTS', KEYS[1] .. ':plan'), redis.call('LRANGE', KEYS[1] .. ':to', 0, -1)}
