#!lua flags=allow-oom
-- Lets go of the bodies of notifications that one inbox does not have any more, where it was the last one.
--
-- KEYS: clock
-- ARGV: 1 epoch, 2 user, 3 what keys of records begin with, 4... id without `ntf_`, then `+` when others may have it

local effects = inbox_effects(ARGV[3], 0, '-')
local box = {user = ARGV[2]}
for i = 4, #ARGV do
  local id, shared = string.match(ARGV[i], '^([^+]*)(%+?)$')
  effects.release(box, id, shared ~= '' and SHARED or 0)
end
return #ARGV - 3
