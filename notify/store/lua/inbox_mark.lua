#!lua flags=allow-oom
-- Marks entries of an inbox, and tells it: one change, if anything did. What is to be marked up to a place is done from
-- below, in slices, so that no call does more than so much.
--
-- KEYS: clock, inbox
-- ARGV: 1 epoch, 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of an inbox, 6 a request's id
--       7 what as, 8 unix ms until which to snooze, or '', 9 'ids', or up to what: 'id', 'place'
--       10 category that narrows the last two, or '', 11 the same in JSON
--       12... id... without `ntf_`; the one id, or the place; then most entries of this slice, and the place that the
--       one before ended at, or '-inf'
-- Returns {'sweep_first'}, {'past'} (the snooze would be over), or
-- {'ok', rev, unseen, unread, total, due, how many changed, {missing id...}, which were deleted, where this slice ends or
-- '', up to what place}.
-- The deleted are those whose bodies inbox_release.lua is to let go: with spaces between them the ids, after each `+`
-- when others may have it.

local what, snooze, mode = ARGV[7], tonumber(ARGV[8]) or 0, ARGV[9]
if what == 'snoozed' and snooze <= now then
  return {'past'}
end
local box, effects = own_inbox()
if not box then
  return {'sweep_first'}
end

local missing, ids, entries, released = {}, {}, {}, {}
local bound
if mode == 'ids' then
  for i = 12, #ARGV do
    ids[#ids + 1] = ARGV[i]
  end
  entries = effects.entries(box, ids)
elseif mode == 'place' then
  bound = ARGV[12]
else
  bound = redis.call('ZSCORE', box.key .. ':order', ARGV[12])
  if not bound then
    missing[1] = ARGV[12]
  end
end
local slice_ends = ''
if bound then
  local most = tonumber(ARGV[13])
  local above = ARGV[14] == '-inf' and '-inf' or '(' .. ARGV[14]
  ids = redis.call('ZRANGEBYSCORE', box.key .. ':order', above, bound, 'LIMIT', 0, most + 1)
  if #ids > most then
    ids[#ids] = nil
    slice_ends = redis.call('ZSCORE', box.key .. ':order', ids[most])
  end
  entries = effects.entries(box, ids)
end

local changed, writes, count = {}, {}, 0
local total, unseen, unread, due = box.total, box.unseen, box.unread, box.due
local category = ARGV[10]
local sub, byte, char = string.sub, string.byte, string.char
local at, until_at = struct.pack('>I6', now), struct.pack('>I6', snooze)
for i, id in ipairs(ids) do
  local entry = entries[i]
  if not entry then
    missing[#missing + 1] = id
  else
    local hidden = sub(entry, 19, 30)
    local active = hidden == SHOWN
    local wanted = not bound or active
    if bound and active and category ~= '' then
      local high, low = byte(entry, STATE_BYTES + 1, STATE_BYTES + 2)
      wanted = sub(entry, STATE_BYTES + 3, STATE_BYTES + 2 + high * 256 + low) == category
    end
    if wanted and what == 'deleted' then
      count = count + 1
      changed[count], writes[count] = id, entry
      released[count] = byte(entry, STATE_BYTES) >= SHARED and id .. '+' or id
    elseif wanted then
      local moved = false
      local seen, read, flags = sub(entry, 7, 12), sub(entry, 13, 18), byte(entry, STATE_BYTES)
      local new_seen, new_read, new_hidden = seen, read, hidden
      if what == 'seen' or what == 'read' then
        if seen == NEVER then
          new_seen, moved = at, true
        end
        if what == 'read' and read == NEVER then
          new_read, moved = at, true
        end
      elseif what == 'unread' then
        new_read, moved = NEVER, read ~= NEVER
      elseif what == 'archived' then
        if sub(hidden, 1, 6) == NEVER then
          new_hidden, moved = at .. NEVER, true
        end
      elseif what == 'unarchived' then
        if sub(hidden, 1, 6) ~= NEVER then
          new_hidden, moved = NEVER .. sub(hidden, 7), true
        end
      elseif what == 'snoozed' then
        new_hidden = NEVER .. until_at
        moved = sub(hidden, 7) ~= until_at
        if due == 0 or snooze < due then
          due = snooze
        end
      elseif what == 'unsnoozed' then
        if sub(hidden, 7) ~= NEVER then
          new_hidden, moved = sub(hidden, 1, 6) .. NEVER, true
        end
      else  -- delivered
        moved = flags % 2 == 0
      end
      if moved then
        count = count + 1
        changed[count] = id
        if active then
          total = total - 1
          unseen, unread = unseen - (seen == NEVER and 1 or 0), unread - (read == NEVER and 1 or 0)
        end
        if new_hidden == SHOWN then
          total = total + 1
          unseen, unread = unseen + (new_seen == NEVER and 1 or 0), unread + (new_read == NEVER and 1 or 0)
        end
        if flags % 2 == 0 and (new_seen ~= NEVER or what == 'delivered') then
          flags = flags + DELIVERED
        end
        writes[count * 2 - 1] = id
        writes[count * 2] = sub(entry, 1, 6) .. new_seen .. new_read .. new_hidden .. char(flags)
          .. sub(entry, STATE_BYTES + 1)
      end
    end
  end
end

if count > 0 then
  if what == 'deleted' then
    effects.remove(box, changed, writes, 'deleted', true)
  else
    effects.in_pieces('HSET', box.key .. ':entries', writes)
    box.total, box.unseen, box.unread, box.due = total, unseen, unread, due
    if what ~= 'delivered' then
      box.rev = box.rev + 1
      local told = '["inbox:changed",{"as":"' .. what .. '",'
      if bound then
        told = told .. '"up_to":' .. (slice_ends ~= '' and slice_ends or bound) .. (category ~= '' and ',"category":' .. ARGV[11] or '')
      else
        told = told .. effects.id_list(changed)
      end
      if what == 'snoozed' then
        told = told .. ',"until":' .. json_time(snooze)
      end
      effects.publish(box, '-', told .. ',"at":' .. json_time(now) .. ',' .. effects.stand(box) .. '}')
    end
  end
  write_inbox(box)
end
return {'ok', box.rev, box.unseen, box.unread, box.total, box.due, count, missing,
  table.concat(released, ' '), slice_ends, bound or ''}
