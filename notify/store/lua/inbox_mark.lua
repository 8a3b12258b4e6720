#!lua flags=allow-oom
-- Marks entries of an inbox, and tells it: one change, if anything did.
--
-- KEYS: clock, inbox
-- ARGV: 1 epoch, 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of an inbox, 6 a request's id
--       7 what as, 8 unix ms until which to snooze, or '', 9 'ids', or up to what: 'id', 'place'
--       10 category that narrows the last two, or '', 11 the same in JSON
--       12... id... without `ntf_`; the one id, or the place
-- Returns {'sweep_first'}, {'past'} (the snooze would be over), or
-- {'ok', rev, unseen, unread, total, due, how many changed, {missing id...}, {id, '1' when others may have it, ...}}.
-- The last are those whose bodies inbox_release.lua is to let go.

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
if bound then
  ids = redis.call('ZRANGEBYSCORE', box.key .. ':order', '-inf', bound)
  entries = effects.entries(box, ids)
end

local changed, writes, count = {}, {}, 0
local total, unseen, unread, due = box.total, box.unseen, box.unread, box.due
local category = ARGV[10]
for i, id in ipairs(ids) do
  local entry = entries[i]
  if not entry then
    missing[#missing + 1] = id
  else
    local expires, seen, read, archived, snoozed, flags, length = struct.unpack(ENTRY, entry)
    local active = archived == 0 and snoozed == 0
    if not bound or (active
        and (category == '' or string.sub(entry, STATE_BYTES + 3, STATE_BYTES + 2 + length) == category)) then
      local moved = false
      local new_seen, new_read = seen, read
      if what == 'seen' or what == 'read' then
        if seen == 0 then
          new_seen, moved = now, true
        end
        if what == 'read' and read == 0 then
          new_read, moved = now, true
        end
      elseif what == 'unread' then
        new_read, moved = 0, read > 0
      elseif what == 'archived' then
        moved = archived == 0
        archived, snoozed = moved and now or archived, 0
      elseif what == 'unarchived' then
        archived, moved = 0, archived > 0
      elseif what == 'snoozed' then
        moved = snoozed ~= snooze
        archived, snoozed = 0, snooze
        if due == 0 or snooze < due then
          due = snooze
        end
      elseif what == 'unsnoozed' then
        snoozed, moved = 0, snoozed > 0
      elseif what == 'delivered' then
        moved = flags % 2 == 0
      else  -- deleted
        moved = true
      end
      if moved then
        count = count + 1
        changed[count] = id
        if what == 'deleted' then
          writes[count] = entry
          released[count * 2 - 1], released[count * 2] = id, flags >= SHARED and '1' or '0'
        else
          if active then
            total = total - 1
            unseen, unread = unseen - (seen == 0 and 1 or 0), unread - (read == 0 and 1 or 0)
          end
          if archived == 0 and snoozed == 0 then
            total = total + 1
            unseen, unread = unseen + (new_seen == 0 and 1 or 0), unread + (new_read == 0 and 1 or 0)
          end
          if flags % 2 == 0 and (new_seen > 0 or what == 'delivered') then
            flags = flags + DELIVERED
          end
          writes[count * 2 - 1] = id
          writes[count * 2] = struct.pack(ENTRY, expires, new_seen, new_read, archived, snoozed, flags, length)
            .. string.sub(entry, STATE_BYTES + 3)
        end
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
        told = told .. '"up_to":' .. bound .. (category ~= '' and ',"category":' .. ARGV[11] or '')
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
return {'ok', box.rev, box.unseen, box.unread, box.total, box.due, count, missing, released}
