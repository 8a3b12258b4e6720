#!lua flags=allow-oom
-- Tells a user's connections how their inbox stands, in the one order with everything else.
--
-- KEYS: clock, inbox
-- ARGV: 1 epoch, 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of an inbox, 6 a request's id
-- Returns {'sweep_first'}, or {'ok', rev, unseen, unread, total, due}.

local box, effects = own_inbox()
if not box then
  return {'sweep_first'}
end
effects.publish(box, '-', '["inbox:changed",{"as":"reset",' .. effects.stand(box) .. '}')
return {'ok', box.rev, box.unseen, box.unread, box.total, box.due}
