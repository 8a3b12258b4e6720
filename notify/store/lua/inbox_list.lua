#!lua flags=allow-oom
-- Reads one page of an inbox, and how it stands.
--
-- KEYS: clock, inbox
-- ARGV: 1 epoch, 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of an inbox, 6 a request's id
--       7 rev of the answer that the caller has, '*' for any, or '', 8 status, 9 place to go on below, or '', 10 most entries
--       11 most bytes (one entry is read at least), 12 '1' to count by category
--       13... category, to read these only
-- Returns {'sweep_first'}, or {'ok' or 'unchanged', rev, unseen, unread, total, due, place to go on below or '',
-- {id, place, entry, record, ...}, {category, unseen, unread, total, ...}}. Of an entry only its fields up to the
-- category are to be read, and its record is '' when it is gone.

local box = own_inbox()
if not box then
  return {'sweep_first'}
end
local reply = {'ok', box.rev, box.unseen, box.unread, box.total, box.due, '', {}, {}}
if ARGV[7] == '*' or ARGV[7] == tostring(box.rev) then
  reply[1] = 'unchanged'
  return reply
end

local status, most = ARGV[8], tonumber(ARGV[10])
local wanted
for i = 13, #ARGV do
  wanted = wanted or {}
  wanted[ARGV[i]] = true
end

local sub, byte = string.sub, string.byte

local function category_of(entry)
  local high, low = byte(entry, STATE_BYTES + 1, STATE_BYTES + 2)
  return sub(entry, STATE_BYTES + 3, STATE_BYTES + 2 + high * 256 + low)
end

local function matches(entry)
  local right
  if status == 'archived' then
    right = sub(entry, 19, 24) ~= NEVER
  elseif status == 'snoozed' then
    right = sub(entry, 25, 30) ~= NEVER
  elseif sub(entry, 19, 30) ~= SHOWN then
    right = false
  elseif status == 'unseen' then
    right = sub(entry, 7, 12) == NEVER
  elseif status == 'unread' then
    right = sub(entry, 13, 18) == NEVER
  elseif status == 'read' then
    right = sub(entry, 13, 18) ~= NEVER
  else
    right = true
  end
  return right and (not wanted or wanted[category_of(entry)])
end

local none = (status == 'unseen' and box.unseen == 0) or (status == 'unread' and box.unread == 0)
if most > 0 and box.size > 0 and not none then
  local page, bytes, most_bytes = reply[8], 0, tonumber(ARGV[11])
  local below, piece, last = ARGV[9] == '' and '+inf' or '(' .. ARGV[9], most + 1, nil
  repeat
    local places = redis.call('ZREVRANGEBYSCORE', box.key .. ':order', below, '-inf', 'WITHSCORES', 'LIMIT', 0, piece)
    local ids = {}
    for i = 1, #places, 2 do
      ids[#ids + 1] = places[i]
    end
    local entries = #ids > 0 and redis.call('HMGET', box.key .. ':entries', unpack(ids)) or {}
    for i, entry in ipairs(entries) do
      if entry and matches(entry) then
        if #page == most * 4 or bytes >= most_bytes then
          reply[7] = last
          break
        end
        local record = redis.call('GET', ARGV[4] .. ids[i] .. '}') or ''
        if bytes > 0 and bytes + #record > most_bytes then
          reply[7] = last
          break
        end
        bytes = bytes + #record
        last = places[i * 2]
        local n = #page
        page[n + 1], page[n + 2], page[n + 3], page[n + 4] = ids[i], last, entry, record
      end
    end
    below = #places > 0 and '(' .. places[#places]
    local whole = #ids == piece
    piece = 200
  until reply[7] ~= '' or not whole
end

if ARGV[12] == '1' then
  local counts, order = {}, {}
  for _, entry in ipairs(redis.call('HVALS', box.key .. ':entries')) do
    local category = sub(entry, 19, 30) == SHOWN and category_of(entry) or ''
    if category ~= '' then
      local count = counts[category]
      if not count then
        count = {0, 0, 0}
        counts[category] = count
        order[#order + 1] = category
      end
      count[1] = count[1] + (sub(entry, 7, 12) == NEVER and 1 or 0)
      count[2] = count[2] + (sub(entry, 13, 18) == NEVER and 1 or 0)
      count[3] = count[3] + 1
    end
  end
  local flat = reply[9]
  for _, category in ipairs(order) do
    local n, count = #flat, counts[category]
    flat[n + 1], flat[n + 2], flat[n + 3], flat[n + 4] = category, count[1], count[2], count[3]
  end
end
return reply
