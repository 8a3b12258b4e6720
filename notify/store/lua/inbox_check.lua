#!lua flags=no-writes,allow-oom
-- Reads all of an inbox at one moment, for it to be counted again.
--
-- KEYS: clock, inbox        ARGV: 1 epoch, 2 what keys of records begin with
-- Returns {{rev, entries, total, unseen, unread, due} or {}, {id, place, ...}, {id, entry, ...},
-- {collapse key, id, ...}, {unix ms when each key ends}, {id whose body is gone...}}.

local key = KEYS[2]
local kept = redis.call('GET', key)
local counts = {}
if kept then
  counts = {struct.unpack(INBOX, kept)}
end
local entries = redis.call('HGETALL', key .. ':entries')
local bodiless = {}
for i = 1, #entries, 2 do
  local last = redis.call('GETRANGE', ARGV[2] .. entries[i] .. '}', -1, -1)
  if last == '' or last == '\n' then
    bodiless[#bodiless + 1] = entries[i]
  end
end
local ends = {}
for i, name in ipairs({'', ':order', ':entries', ':collapse'}) do
  ends[i] = redis.call('PEXPIRETIME', key .. name)
end
return {counts, redis.call('ZRANGE', key .. ':order', 0, -1, 'WITHSCORES'), entries,
  redis.call('HGETALL', key .. ':collapse'), ends, bodiless}
