#!lua flags=allow-oom
-- Takes a piece out of an inbox that is to be gone, and tells nobody.
--
-- KEYS: clock, inbox
-- ARGV: 1 epoch, 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of an inbox, 6 a request's id
--       7 most entries to take
-- Returns how many are left; with none left there is no key of this inbox.

local box = read_inbox(KEYS[2], ARGV[2], ARGV[3])
local effects = inbox_effects(ARGV[4], tonumber(ARGV[5]), ARGV[6])
local ids = redis.call('ZRANGE', box.key .. ':order', 0, tonumber(ARGV[7]) - 1)
if #ids > 0 then
  effects.drop(box, ids, effects.entries(box, ids))
end
if redis.call('EXISTS', box.key .. ':order') == 1 then
  write_inbox(box)
  return box.size
end
redis.call(
  'DEL', box.key, box.key .. ':order', box.key .. ':entries', box.key .. ':collapse', box.key .. ':gone')
return 0
