#!lua flags=allow-oom
-- Takes one notification out of the inboxes of some users, and tells each of them that had it.
--
-- KEYS: clock, inbox...
-- ARGV: 1 epoch, 2 id without `ntf_`, 3 reason, 4 what keys of records begin with, 5 most entries of an inbox
--       6 a request's id, 7... topic, user (for each inbox)
-- Returns how many had it, or a list of numbers of inboxes that are to be swept first.

local effects = inbox_effects(ARGV[4], tonumber(ARGV[5]), ARGV[6])
local boxes = {}
for i = 2, #KEYS do
  boxes[i - 1] = read_inbox(KEYS[i], ARGV[3 + i * 2], ARGV[4 + i * 2])
end
local plans, first = effects.plans(boxes, 0, function() return true end)
if first then
  return first
end
local id, had = ARGV[2], 0
for n, box in ipairs(boxes) do
  local plan = plans[n]
  local stale = plan.count > 0 or plan.due ~= box.due
  if stale then
    effects.sweep(box, plan, SWEPT)
    if plan.excess > 0 then
      effects.trim(box, plan.excess)
    end
  end
  local entry = redis.call('HGET', box.key .. ':entries', id)
  if entry then
    effects.remove(box, {id}, {entry}, ARGV[3])
    had = had + 1
  end
  if entry or stale then
    write_inbox(box)
  end
end
return had
