-- Reads what a returning client missed, and claims its session for its new connection. Of much it reads a piece, says
-- `more`, and is to be called again with the places that it came to: the last call claims the session, and reads at
-- that moment what has come to any of the logs meanwhile. So all of it is as of the last call.
--
-- KEYS: clock, session, revoked, the same by the version before, orders, log..., last...      (see publish.lua for `last`)
-- ARGV: 1 epoch of the places, 2 most messages in all, 3 most entries read in all, those expired among them
--       4 place that the clock must have reached (`ms-seq`), 5 the token's iat
--       6 the session as it was read, 7 the orders as they were read, '' for none
--       8 the session as it is to be, 9 its seconds to live, 10 bytes after which it says `more`
--       11... place (`ms-seq`)        (one per log)
-- Returns {verdict, clock, {log number, entry id, message, ...}, {log number, place come to, ...}}. Verdicts other
-- than ok and more carry nothing, and all but ok leave the session as it is:
--   more (of what is there; entries read, those expired among them, are the fifth), revoked,
--   changed (session or orders are not what they were), gone (there is no session any more),
--   epoch (Redis lost its data), future (a place that was never given out), trimmed (a log does not reach back
--   that far, or is not there though it should be), too_many.

local FIRST_PAGE, PAGE = 4, 500  -- entries may be large: the first few say how many more to ask for
local ENTRY_BYTES = 1500          -- an entry is as much work as so many bytes of one

local function parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function after(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

for _, revoked in ipairs(redis.call('MGET', KEYS[3], KEYS[4])) do
  if revoked and tonumber(ARGV[5]) < tonumber(revoked) then
    return {'revoked', '', {}}
  end
end
local session = redis.call('GET', KEYS[2])
if not session then
  return {'gone', '', {}}
end
if session ~= ARGV[6] or (redis.call('GET', KEYS[5]) or '') ~= ARGV[7] then
  return {'changed', '', {}}
end
local clock = redis.call('GET', KEYS[1])
if not clock then
  return {'epoch', '', {}}
end
local epoch, entry = string.match(clock, '^(%w+)-(%d+%-%d+)$')
if epoch ~= ARGV[1] then
  return {'epoch', clock, {}}
end
if after(ARGV[4], entry) then
  return {'future', clock, {}}
end

-- True when what came between a place and the first entry that is there after it is not there any more.
local function is_cut(log, last, place, first)
  if not first then
    return last and after(last, place)
  end
  if last and after(last, place) and after(first[1], last) then
    return true
  end
  local before = first[2][6]
  if before and before ~= '' then
    return after(before, place)
  end
  -- An entry of the version before does not name the one before it, nor does the first one that is known.
  local info = redis.call('XINFO', 'STREAM', log)
  local facts = {}
  for field = 1, #info, 2 do
    facts[info[field]] = info[field + 1]
  end
  return facts['entries-added'] > facts['length'] and after(facts['first-entry'][1], place)
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, allowed, found = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
local bytes, most_bytes, read, reached = 0, tonumber(ARGV[10]), 0, {}
local logs = (#KEYS - 5) / 2
for i = 1, logs do
  local log, place = KEYS[5 + i], ARGV[10 + i]
  local begun, size = false, FIRST_PAGE
  while true do
    local wanted = math.min(size, allowed + 1)
    local page = redis.call('XRANGE', log, '(' .. place, '+', 'COUNT', wanted)
    if not begun and is_cut(log, redis.call('GET', KEYS[5 + logs + i]), place, page[1]) then
      return {'trimmed', clock, {}}
    end
    begun = true
    allowed = allowed - #page
    if allowed < 0 then
      return {'too_many', clock, {}}
    end
    local before = bytes
    for _, item in ipairs(page) do
      place = item[1]
      bytes = bytes + #item[2][2] + ENTRY_BYTES
      local expires = tonumber(item[2][4])
      if expires == 0 or expires > now then
        most = most - 1
        if most < 0 then
          return {'too_many', clock, {}}
        end
        found[#found + 1] = i
        found[#found + 1] = item[1]
        found[#found + 1] = item[2][2]
      end
    end
    read = read + #page
    if #page < wanted then
      break
    end
    if bytes >= most_bytes then
      local n = #reached
      reached[n + 1], reached[n + 2] = i, place
      return {'more', clock, found, reached, read}
    end
    local each = (bytes - before) / #page
    size = math.max(1, math.min(PAGE, math.floor((most_bytes - bytes) / each) + 1))
  end
  if place ~= ARGV[10 + i] then
    local n = #reached
    reached[n + 1], reached[n + 2] = i, place
  end
end

redis.call('SET', KEYS[2], ARGV[8], 'EX', ARGV[9])
return {'ok', clock, found, reached, read}
