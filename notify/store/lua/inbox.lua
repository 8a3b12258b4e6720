-- What the scripts share that give out offsets or work on inboxes: it stands before each of them.
-- KEYS[1] is the clock, ARGV[1] the epoch should the clock not exist yet.
--
-- An inbox. Its keys end together, so that no count outlives what was counted: when the entry that stays longest
-- has gone, and a day after the last change at the earliest, in whole hours, so that they are seldom touched:
--   <inbox>            string: rev; entries; of those neither archived nor snoozed all, unseen, unread; when something
--                      is next due; until when the keys are kept; place up to which entries were trimmed
--   <inbox>:order      sorted set: id (without its `ntf_`) by place
--   <inbox>:entries    hash: id to entry, see ENTRY; then category and collapse key
--   <inbox>:collapse   hash: collapse key to id
--   <inbox>:gone       list, with a lifetime of its own: what was deleted or collapsed while a log may have held it, for
--                      each time until when that is to be known and the ids, with spaces between them
-- A notification:
--   <record>           string, see store/notifications/record.py. User and argument array are gone from it when no inbox has the
--                      notification any more, so that it ends with a line feed
--   <record>:to        list: users whose inboxes have it, when it went to more than one
--   <record>:retracted exists when it was retracted
-- Times are unix ms, 0 for not yet or never.

local INBOX = '>I6I4I4I4I4I6I6I6'
local ENTRY = '>I6I6I6I6I6BI2'  -- expires, seen, read, archived, snoozed until, flags, length of the category
local STATE_BYTES = 31          -- of an entry, up to the flags
-- Where many entries are looked through, their times are compared and moved as they are packed: to take each apart
-- and put it together again would take three times as long. They stand from byte 1, 7, 13, 19 and 25 on.
local NEVER = string.rep('\0', 6)
local SHOWN = NEVER .. NEVER    -- archived and snoozed until, of an entry that is neither
local DELIVERED, SHARED = 1, 2  -- flags: reached a client; went to more than one user
local HOUR, DAY = 3600000, 86400000
local SWEPT = 100               -- entries that one call takes out, besides what it was asked to do; to bring one back
local BACK, BACK_BYTES = 6, 4096  -- counts as so many, and one more for so many bytes of its body
local SMALL = 512               -- entries up to which a hash may be searched from end to end
local SCANNED = 1000            -- entries of inboxes that one call looks through for what is due

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function read_clock()
  local clock = redis.call('GET', KEYS[1])
  if not clock then
    return ARGV[1], 0, 0
  end
  local epoch, ms, seq = string.match(clock, '^(%w+)-(%d+)-(%d+)$')
  return epoch, tonumber(ms), tonumber(seq)
end

local epoch, ms, seq  -- of the clock, once this call has given out an offset

-- The next offset, and the entry that it is in a log.
local function next_offset()
  if not epoch then
    epoch, ms, seq = read_clock()
  end
  if now > ms then
    ms, seq = now, 0
  else
    seq = seq + 1
  end
  local entry = string.format('%.0f-%.0f', ms, seq)
  local offset = epoch .. '-' .. entry
  redis.call('SET', KEYS[1], offset)
  return offset, entry
end

-- What remains of a record when its body goes: recipients and times, and the channels that have no inbox.
local function without_body(record)
  local kept = redis.call('GETRANGE', record, 0, 2047)
  local first, elsewhere = string.match(kept, '^(2 [^\n]*\n)[^\n]*\n([^\n]*\n)')
  if not first and #kept == 2048 then
    first, elsewhere = string.match(redis.call('GET', record), '^(2 [^\n]*\n)[^\n]*\n([^\n]*\n)')
  end
  if first then
    return first .. '\n' .. elsewhere
  end
  return string.match(kept, '^1 [^\n]*\n')
end

local function read_inbox(key, topic, user)
  local box = {key = key, topic = topic, user = user}
  local kept = redis.call('GET', key)
  if kept then
    box.rev, box.size, box.total, box.unseen, box.unread, box.due, box.keep, box.trimmed = struct.unpack(INBOX, kept)
  else
    box.rev, box.size, box.total, box.unseen, box.unread, box.due, box.keep, box.trimmed = now, 0, 0, 0, 0, 0, 0, 0
    box.fresh = true
  end
  return box
end

-- `expires` is that of a new entry; `box.begun` says that it is the first, and so that its keys are new.
local function write_inbox(box, expires)
  local needed = math.max(expires or 0, now + DAY)
  if needed > box.keep then
    box.keep = (math.floor(needed / HOUR) + 2) * HOUR
    box.begun = true
  end
  if box.begun then
    redis.call('PEXPIREAT', box.key .. ':order', box.keep)
    redis.call('PEXPIREAT', box.key .. ':entries', box.keep)
    redis.call('PEXPIREAT', box.key .. ':collapse', box.keep)
  end
  local kept = struct.pack(
    INBOX, box.rev, box.size, box.total, box.unseen, box.unread, box.due, box.keep, box.trimmed)
  redis.call('SET', box.key, kept, 'PXAT', box.keep)
end

-- What happens to inboxes besides a new entry: made when it is needed, since most messages need none of it.
-- `records` is what the keys of records begin with, `most` how many entries an inbox keeps, `trace` a request's id.
local function inbox_effects(records, most, trace)
  local effects = {}

  local function in_pieces(command, key, values)
    for begin = 1, #values, 1000 do
      redis.call(command, key, unpack(values, begin, math.min(begin + 999, #values)))
    end
  end
  effects.in_pieces = in_pieces

  -- The entries of these ids, false for those that are not there. Small hashes are searched from end to end, so
  -- that many look-ups cost more than reading all of it.
  function effects.entries(box, ids)
    local found = {}
    if box.size <= SMALL and #ids * 4 > box.size then
      local all, by_id = redis.call('HGETALL', box.key .. ':entries'), {}
      for i = 1, #all, 2 do
        by_id[all[i]] = all[i + 1]
      end
      for i, id in ipairs(ids) do
        found[i] = by_id[id] or false
      end
      return found
    end
    for begin = 1, #ids, 1000 do
      local piece = redis.call(
        'HMGET', box.key .. ':entries', unpack(ids, begin, math.min(begin + 999, #ids)))
      for i, entry in ipairs(piece) do
        found[begin + i - 1] = entry
      end
    end
    return found
  end

  function effects.publish(box, id, arguments)
    local offset = next_offset()
    redis.call('PUBLISH', box.topic, offset .. ' - 2;' .. box.due .. ';' .. id .. ';' .. trace .. '\n'
      .. arguments .. ',"' .. offset .. '"]')
  end

  function effects.stand(box)
    return '"rev":' .. box.rev .. ',"counts":{"unseen":' .. box.unseen .. ',"unread":' .. box.unread
      .. ',"total":' .. box.total .. '}'
  end

  function effects.id_list(ids)
    return '"ids":["ntf_' .. table.concat(ids, '","ntf_') .. '"]'
  end

  -- Lets go of a notification's body when this was the last inbox that had it.
  local function release(box, id, flags)
    local record = records .. id .. '}'
    if flags >= SHARED then
      redis.call('LREM', record .. ':to', 1, box.user)
      if redis.call('EXISTS', record .. ':to') == 1 then
        return
      end
    end
    local left = without_body(record)
    if left then
      redis.call('SET', record, left, 'XX', 'KEEPTTL')
    end
  end

  effects.release = release

  -- Takes entries out, without a word. With `keeps` their bodies are let go later, by inbox_release.lua.
  function effects.drop(box, ids, entries, keeps)
    local sub, byte = string.sub, string.byte
    local total, unseen, unread = box.total, box.unseen, box.unread
    for i, id in ipairs(ids) do
      local entry = entries[i]
      if sub(entry, 19, 30) == SHOWN then
        total = total - 1
        unseen = unseen - (sub(entry, 7, 12) == NEVER and 1 or 0)
        unread = unread - (sub(entry, 13, 18) == NEVER and 1 or 0)
      end
      local flags, high, low = byte(entry, STATE_BYTES, STATE_BYTES + 2)
      local ending = STATE_BYTES + 2 + high * 256 + low
      if #entry > ending then
        redis.call('HDEL', box.key .. ':collapse', sub(entry, ending + 1))
      end
      if not keeps then
        release(box, id, flags)
      end
    end
    box.total, box.unseen, box.unread = total, unseen, unread
    if #ids > 1 and redis.call('HLEN', box.key .. ':entries') == #ids then
      redis.call('UNLINK', box.key .. ':order', box.key .. ':entries')
    else
      in_pieces('ZREM', box.key .. ':order', ids)
      in_pieces('HDEL', box.key .. ':entries', ids)
    end
    box.size = box.size - #ids
  end

  -- Remembers what the user's log may still hold and is not to be replayed: when entries around it are trimmed, the
  -- inbox does not say any more which of the missing are owed. Sessions end with their log, an hour later at most.
  local function remember_gone(box, ids)
    local prefix = string.sub(KEYS[1], 1, -6)  -- less `clock`
    local log_ends = redis.call('PEXPIRETIME', prefix .. 'log:' .. string.sub(box.topic, #prefix + 7))  -- less `topic:`
    if log_ends <= 0 then
      return
    end
    local gone, ends = box.key .. ':gone', log_ends + HOUR
    local oldest = redis.call('LINDEX', gone, 0)
    while oldest and tonumber(string.match(oldest, '^%d+')) <= now do
      redis.call('LPOP', gone)
      oldest = redis.call('LINDEX', gone, 0)
    end
    redis.call('RPUSH', gone, string.format('%.0f ', ends) .. table.concat(ids, ' '))
    redis.call('PEXPIREAT', gone, ends)
  end

  -- Takes entries out and tells it: one change.
  function effects.remove(box, ids, entries, reason, keeps)
    effects.drop(box, ids, entries, keeps)
    if reason == 'deleted' or reason == 'collapsed' then
      remember_gone(box, ids)
    end
    box.rev = box.rev + 1
    effects.publish(box, '-', '["notification:removed",{' .. effects.id_list(ids) .. ',"reason":"' .. reason .. '",'
      .. effects.stand(box) .. '}')
  end

  local function work_of(id)
    return BACK + math.floor(redis.call('STRLEN', records .. id .. '}') / BACK_BYTES)
  end

  -- Puts a snooze that is over into the list of those that one call may bring back, the earliest first.
  local function keep_earliest(back, id, entry, due)
    local n = #back
    if n * BACK >= SWEPT then
      local last = back[n]
      if last.due < due or (last.due == due and last.id < id) then
        return
      end
      n = n - 1
    end
    while n > 0 and (back[n].due > due or (back[n].due == due and back[n].id > id)) do
      back[n + 1] = back[n]
      n = n - 1
    end
    back[n + 1] = {id = id, entry = entry, due = due}
  end

  -- What is due, and what is too much with `coming` new entries; writes nothing. `count` says how much work all of
  -- it is, in entries that are taken out.
  function effects.plan(box, coming)
    local plan = {expired = {}, entries = {}, back = {}, backs = 0, due = box.due}
    local weight = 0
    if box.due > 0 and box.due <= now then
      local all = redis.call('HGETALL', box.key .. ':entries')
      local sub, unpack_time, first = string.sub, struct.unpack, math.huge
      for i = 2, #all, 2 do
        local entry = all[i]
        local due = unpack_time('>I6', entry)
        if due <= now then
          plan.expired[#plan.expired + 1] = all[i - 1]
          plan.entries[#plan.entries + 1] = entry
        else
          if sub(entry, 25, 30) ~= NEVER then
            local snoozed = unpack_time('>I6', entry, 25)
            if snoozed > now then
              due = snoozed < due and snoozed or due
            else
              plan.backs = plan.backs + 1
              keep_earliest(plan.back, all[i - 1], entry, snoozed)
              -- beyond what one call does it does not matter how much more it is
              weight = weight + (weight > SWEPT and BACK or work_of(all[i - 1]))
            end
          end
          first = due < first and due or first
        end
      end
      plan.due = first < math.huge and first or 0
    end
    plan.excess = math.max(0, box.size - #plan.expired + coming - most)
    plan.count = #plan.expired + weight + plan.excess
    return plan
  end

  -- The plans of those of several inboxes that `wants` one, or else the numbers of those that are to be swept first:
  -- all that one call looks through, and all that it does, is bounded.
  function effects.plans(boxes, coming, wants)
    local plans, first, scanned, work = {}, {}, 0, 0
    for i, box in ipairs(boxes) do
      local due = box.due > 0 and box.due <= now
      if due and scanned > 0 and scanned + box.size > SCANNED then
        first[#first + 1] = i
      elseif wants(box) then
        scanned = scanned + (due and box.size or 0)
        local plan = effects.plan(box, coming)
        if plan.count > 0 and work + plan.count > math.max(SWEPT, #boxes) then
          first[#first + 1] = i
        end
        work = work + plan.count
        plans[i] = plan
      end
    end
    return plans, #first > 0 and first
  end

  -- A snooze that is over: on top again, as if it had just come, and shown as it was when it came.
  local function bring_back(box, one)
    local expires, _, _, _, _, flags = struct.unpack(ENTRY, one.entry)
    local state = string.sub(struct.pack(ENTRY, expires, 0, 0, 0, 0, flags, 0), 1, STATE_BYTES)
    box.rev = box.rev + 1
    box.total, box.unseen, box.unread = box.total + 1, box.unseen + 1, box.unread + 1
    redis.call('HSET', box.key .. ':entries', one.id, state .. string.sub(one.entry, STATE_BYTES + 1))
    redis.call('ZADD', box.key .. ':order', box.rev, one.id)
    local record = redis.call('GET', records .. one.id .. '}')
    local array = record and (string.match(record, '^2[^\n]*\n[^\n]*\n[^\n]*\n(.+)$')
      or string.match(record, '^1[^\n]*\n[^\n]*\n(.+)$'))
    if array then
      effects.publish(box, 'ntf_' .. one.id, string.sub(array, 1, -2) .. ',"inbox":{"rev":' .. box.rev
        .. ',"place":' .. box.rev .. ',"unseen":' .. box.unseen .. ',"unread":' .. box.unread .. '}}')
    end
  end

  -- Lets entries expire and brings others back, `limit` of work at most, but one of them at least; what is left of
  -- the limit.
  function effects.sweep(box, plan, limit)
    local ids, entries, back = plan.expired, plan.entries, plan.back
    if #ids > limit then
      ids, entries = {}, {}
      for i = 1, limit do
        ids[i], entries[i] = plan.expired[i], plan.entries[i]
      end
    end
    local left, coming = limit - #ids, 0
    for _, one in ipairs(back) do
      local work = work_of(one.id)
      if work > left and #ids + coming > 0 then
        break
      end
      left, coming = left - work, coming + 1
    end
    box.due = (#ids < #plan.expired or coming < plan.backs) and now or plan.due
    if #ids > 0 then
      effects.remove(box, ids, entries, 'expired')
    end
    for i = 1, coming do
      bring_back(box, back[i])
    end
    return math.max(0, left)
  end

  -- Takes the oldest entries out.
  function effects.trim(box, excess)
    local oldest = redis.call('ZRANGE', box.key .. ':order', 0, excess - 1, 'WITHSCORES')
    local ids = {}
    for i = 1, #oldest, 2 do
      ids[#ids + 1] = oldest[i]
      box.trimmed = math.max(box.trimmed, tonumber(oldest[i + 1]))
    end
    effects.remove(box, ids, redis.call('HMGET', box.key .. ':entries', unpack(ids)), 'trimmed')
  end

  return effects
end

-- `"2026-12-01T09:00:00.000Z"`, in quotes.
local function json_time(ms)
  local days, year = math.floor(ms / DAY), 1970
  local function length(y)
    return (y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0)) and 366 or 365
  end
  local rest = ms - days * DAY
  while days >= length(year) do
    days, year = days - length(year), year + 1
  end
  local month = 1
  for i, count in ipairs({31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}) do
    month = i
    if days < count then
      break
    end
    days = days - count
  end
  return string.format('"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"', year, month, days + 1, math.floor(rest / HOUR),
    math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

-- For the scripts on one inbox, KEYS[2]. ARGV: 2 topic, 3 user, 4 what keys of records begin with, 5 most entries of
-- an inbox, 6 a request's id. The inbox, kept and swept, and the effects; nil when it is to be swept first.
local function own_inbox()
  local box = read_inbox(KEYS[2], ARGV[2], ARGV[3])
  local effects = inbox_effects(ARGV[4], tonumber(ARGV[5]), ARGV[6])
  local plan = effects.plan(box, 0)
  if plan.count > SWEPT then
    return nil
  end
  if box.fresh or plan.count > 0 or plan.due ~= box.due then
    effects.sweep(box, plan, SWEPT)
    if plan.excess > 0 then
      effects.trim(box, plan.excess)
    end
    write_inbox(box)
  end
  return box, effects
end
