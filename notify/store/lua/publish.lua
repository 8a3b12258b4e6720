-- Appends one message to the logs of its channels, puts it into inboxes and publishes it, under one new offset.
--
-- Everything here is atomic, and nothing is written before everything is known: Redis does not roll a script
-- back. Offsets are totally ordered over all channels, which is what lets one string stand for a client's
-- place in every channel it is in. Since PUBLISH happens in here too, a subscriber sees messages in the
-- order of their offsets. What a message looks like stands in notify/domain/message.py.
--
-- Each entry names the one before it in its log (`p`), and the last one is remembered under a key of its own that
-- outlives the log: so who reads later can tell a log that is gone, or was begun anew, from an empty one.
--
-- KEYS: clock, sent, log... (one per channel), for a notification that is kept: record, and where it goes into
--       inboxes: inbox... (of the users of the first channels)
-- ARGV: 1 epoch, should the clock not exist yet
--       2 name of this piece of the notification, or '' when it cannot come twice
--       3 seconds that pieces are remembered
--       4 seconds that the logs live, 0 for an ephemeral message
--       5 entries that a log keeps, about
--       6 unix ms after which the message is not replayed and leaves inboxes, 0 for never
--       7 flags
--       8 the header from the id on, newline included
--       9 the argument array without its end
--       10 number of channels
--       11... topic...               (one per log)
--    for a record:
--       first three lines of the record or '' (another piece writes it), '1' when it may have been retracted
--    and for inboxes:
--       unix ms until which the record is kept, id without `ntf_`, what keys of records begin with, recipients of the
--       whole notification, end of the packed entry, collapse key or '', most entries of an inbox, user...
-- Returns the offset, or a list of numbers of inboxes that are to be swept first. Of what was retracted nothing is
-- published: then it is the offset at which the clock stands.

-- How long, in seconds, the last entry of a log is remembered at least, whatever the recovery window.
local LAST_TTL = 3600

local piece = ARGV[2]
if piece ~= '' then
  local seen = redis.call('HGET', KEYS[2], piece)
  if seen then
    return seen
  end
end

local expires = tonumber(ARGV[6])
local channels = tonumber(ARGV[10])
local a = 10 + channels  -- arguments for the record come after this one, those for inboxes two later
local record = KEYS[3 + channels]
if record and ARGV[a + 2] == '1' and redis.call('EXISTS', record .. ':retracted') == 1 then
  return string.format('%s-%.0f-%.0f', read_clock())
end
local inboxes = math.max(0, #KEYS - 3 - channels)
if expires <= now then
  inboxes = 0
end

local boxes = {}
if inboxes > 0 then
  local collapse, most = ARGV[a + 8], tonumber(ARGV[a + 9])
  local effects
  local function wants(box)
    return box.size >= most or (box.due > 0 and box.due <= now) or (collapse ~= '' and box.size > 0)
  end
  for i = 1, inboxes do
    local box = read_inbox(KEYS[3 + channels + i], ARGV[10 + i], ARGV[a + 9 + i])
    boxes[i] = box
    if not effects and wants(box) then
      effects = inbox_effects(ARGV[a + 5], most, string.match(ARGV[8], ';([^ \n]*)'))
    end
  end
  if effects then
    local plans, first = effects.plans(boxes, 1, wants)
    if first then
      return first
    end
    for i, box in ipairs(boxes) do
      if plans[i] then
        effects.sweep(box, plans[i], SWEPT)
        local older = collapse ~= '' and redis.call('HGET', box.key .. ':collapse', collapse)
        if older then
          effects.remove(box, {older}, {redis.call('HGET', box.key .. ':entries', older)}, 'collapsed')
        end
        if box.size >= most then
          effects.trim(box, box.size + 1 - most)
        end
      end
    end
  end

  local kept_until = ARGV[a + 3]
  if ARGV[a + 6] == '1' then
    redis.call('SET', record, ARGV[a + 1] .. ARGV[9], 'PXAT', kept_until)
  else
    -- the first piece brings the body; so does a later one, if all of the earlier ones' users have let it go
    local last = redis.call('GETRANGE', record, -1, -1)
    if last == '' or last == '\n' then
      redis.call('SET', record, ARGV[a + 1] .. ARGV[9], 'PXAT', kept_until)
    end
    redis.call('RPUSH', record .. ':to', unpack(ARGV, a + 10))
    redis.call('PEXPIREAT', record .. ':to', kept_until)
  end
end

local offset, log_entry = next_offset()
local log_ttl = tonumber(ARGV[4])
local last_ttl = math.max(log_ttl, LAST_TTL)
local prefix = string.sub(KEYS[1], 1, -6)  -- less `clock`
if inboxes == 0 and record and ARGV[a + 1] ~= '' then
  redis.call('SET', record, ARGV[a + 1] .. ARGV[9], 'EX', log_ttl, 'NX')
end
local head, tail = offset .. ' ' .. ARGV[7] .. ' 2;', ';' .. ARGV[8]
local ending = ',"' .. offset .. '"]'
local plain, open, entry
for i = 1, channels do
  local message
  local box = boxes[i]
  if box then
    local id = ARGV[a + 4]
    if not entry then
      local flags = ARGV[a + 6] == '1' and 0 or SHARED
      entry = string.sub(struct.pack(ENTRY, expires, 0, 0, 0, 0, flags, 0), 1, STATE_BYTES) .. ARGV[a + 7]
      open = tail .. string.sub(ARGV[9], 1, -2) .. ',"inbox":{"rev":'
    end
    local rev = box.rev + 1
    redis.call('HSET', box.key .. ':entries', id, entry)
    redis.call('ZADD', box.key .. ':order', rev, id)
    if ARGV[a + 8] ~= '' then
      redis.call('HSET', box.key .. ':collapse', ARGV[a + 8], id)
    end
    box.begun = box.size == 0 or ARGV[a + 8] ~= ''
    box.rev, box.size, box.total = rev, box.size + 1, box.total + 1
    box.unseen, box.unread = box.unseen + 1, box.unread + 1
    if box.due == 0 or expires < box.due then
      box.due = expires
    end
    write_inbox(box, expires)
    message = head .. box.due .. open .. rev .. ',"place":' .. rev .. ',"unseen":' .. box.unseen
      .. ',"unread":' .. box.unread .. '}}' .. ending
  else
    plain = plain or head .. '0' .. tail .. ARGV[9] .. ending
    message = plain
  end
  if log_ttl > 0 then
    local last = prefix .. 'last:' .. string.sub(KEYS[i + 2], #prefix + 5)  -- less `log:`
    local previous = redis.call('SET', last, log_entry, 'EX', last_ttl, 'GET') or ''
    redis.call('XADD', KEYS[i + 2], 'MAXLEN', '~', ARGV[5], log_entry, 'm', message, 'x', ARGV[6], 'p', previous)
    redis.call('EXPIRE', KEYS[i + 2], log_ttl)
  end
  redis.call('PUBLISH', ARGV[i + 10], message)
end
if piece ~= '' then
  redis.call('HSET', KEYS[2], piece, offset)
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
return offset
