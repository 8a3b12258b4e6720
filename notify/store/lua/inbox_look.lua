#!lua flags=allow-oom
-- Does what is due in an inbox, up to a bound, says how it stands, and which messages of a log are not to be replayed.
--
-- KEYS: clock, inbox
-- ARGV: 1 epoch, 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of an inbox, 6 a request's id
--       7... id without `ntf_`, place (0 for what went into no inbox)
-- Returns {'ok' or 'more', rev, unseen, unread, total, due, clock, id...}: `more` is due, and the rest is of no use.

local box = read_inbox(KEYS[2], ARGV[2], ARGV[3])
local effects = inbox_effects(ARGV[4], tonumber(ARGV[5]), ARGV[6])
local plan = effects.plan(box, 0)
if box.fresh or plan.count > 0 or plan.due ~= box.due then
  local left = effects.sweep(box, plan, SWEPT)
  local excess = math.min(plan.excess, left)
  if excess > 0 then
    effects.trim(box, excess)
  end
  write_inbox(box)
end

local clock = redis.call('GET', KEYS[1])
if not clock then
  clock = ARGV[1] .. '-0-0'
  redis.call('SET', KEYS[1], clock)
end
local reply = {
  plan.count > SWEPT and 'more' or 'ok', box.rev, box.unseen, box.unread, box.total, box.due, clock}

-- What was deleted or collapsed below the place up to which entries were trimmed: read when it is first asked about.
local remembered
local function was_removed(id)
  if not remembered then
    remembered = {}
    for _, piece in ipairs(redis.call('LRANGE', box.key .. ':gone', 0, -1)) do
      for one in string.gmatch(piece, '%S+') do
        remembered[one] = true
      end
    end
  end
  return remembered[id]
end

for i = 7, #ARGV, 2 do
  local id, place = ARGV[i], tonumber(ARGV[i + 1])
  local gone
  if place > box.trimmed then
    gone = redis.call('HEXISTS', box.key .. ':entries', id) == 0
  else  -- who was away is owed what was trimmed, and what went into no inbox (place 0)
    gone = redis.call('EXISTS', ARGV[4] .. id .. '}:retracted') == 1 or (place > 0 and was_removed(id))
  end
  if gone then
    reply[#reply + 1] = id
  end
end
return reply
