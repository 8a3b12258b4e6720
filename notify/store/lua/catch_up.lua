-- Reads what a node missed in the logs of its channels: a piece of it, where there is much.
--
-- A log that is not there says nothing by itself: it may never have been, or be gone. So what it ends with is
-- also kept outside of it, and each entry names the one before it (see publish.lua). Where an entry that is owed
-- is missing, be it trimmed, evicted, deleted, or expired, the channel has a gap.
--
-- KEYS: clock, log..., last...   (one log, and the name of its last entry, per channel)
-- ARGV: 1 epoch of the places
--       2 bytes after which it reads no further; logs and entries count as some, too
--       3 place that the node has reached (`ms-seq`)
--       4 unix ms of Redis at which it last heard everything, 5 for how many ms logs can be relied on
--       6 how many ms beyond TIME the clock may be moved at most
--       7... start in each log: `ms-seq` when what stands there is owed, `(ms-seq` when only what follows is
-- Returns {verdict, clock, {log number, entry id, message, ...}, {number of a log with a gap, ...}, logs done,
-- place up to which the next log was read, or ''}.
-- Verdicts: ok; epoch (Redis lost its data), future (the place lies too far ahead to be one of ours), expired
-- (the node was away for longer than logs can be relied on). These carry nothing: all channels have a gap.
--
-- The clock is moved on to what the node has seen, so that no offset is given out twice after a failover to a
-- replica that lagged.

local FIRST_PAGE, PAGE = 4, 500  -- entries may be large: the first few say how many more to ask for
local ENTRY_BYTES, LOG_BYTES = 1500, 3000  -- what an entry and a log cost besides, as much as so many bytes

local function parts(entry)
  local ms, seq = string.match(entry, '^%(?(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function after(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

local clock = redis.call('GET', KEYS[1])
if not clock then
  return {'epoch', '', {}, {}, 0}
end
local epoch, reached = string.match(clock, '^(%w+)-(%d+%-%d+)$')
if epoch ~= ARGV[1] then
  return {'epoch', clock, {}, {}, 0}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if after(ARGV[3], reached) then
  if parts(ARGV[3]) > now + tonumber(ARGV[6]) then
    return {'future', clock, {}, {}, 0}
  end
  clock = epoch .. '-' .. ARGV[3]
  redis.call('SET', KEYS[1], clock)
end
if now - tonumber(ARGV[4]) > tonumber(ARGV[5]) then
  return {'expired', clock, {}, {}, 0}
end

local logs = (#KEYS - 1) / 2
local most, bytes, done, come_to = tonumber(ARGV[2]), 0, 0, ''
local found, gaps = {}, {}

-- True when an entry `place` is among those owed from `start` on.
local function owed(place, start)
  if string.sub(start, 1, 1) == '(' then
    return after(place, start)
  end
  return not after(start, place)
end

-- What was trimmed off a log whose first entries were written by a version that does not name the one before.
local function trimmed(key, start)
  local info = redis.call('XINFO', 'STREAM', key)
  local facts = {}
  for field = 1, #info, 2 do
    facts[info[field]] = info[field + 1]
  end
  return facts['entries-added'] > facts['length']
    and (not facts['first-entry'] or after(facts['first-entry'][1], start))
end

-- Puts what a log holds from `start` on into `found`; false when something that is owed is missing. Of a log that
-- holds too much it leaves the rest, and sets `come_to`.
local function read(number, key, start, last)
  local from, seen, size = start, nil, FIRST_PAGE
  while true do
    local page = redis.call('XRANGE', key, from, '+', 'COUNT', size)
    local before = bytes
    for _, item in ipairs(page) do
      local fields = item[2]
      local previous = fields[6]
      if previous and previous ~= '' then
        if seen and after(previous, seen) or not seen and owed(previous, start) then
          return false
        end
      elseif not previous and not seen and trimmed(key, start) then
        return false
      end
      seen = item[1]
      bytes = bytes + #fields[2] + ENTRY_BYTES
      local expires = tonumber(fields[4])
      if expires == 0 or expires > now then
        found[#found + 1] = number
        found[#found + 1] = seen
        found[#found + 1] = fields[2]
      end
    end
    if #page < size then
      break
    end
    if bytes >= most then
      come_to = seen
      return true
    end
    from = '(' .. seen
    size = math.max(1, math.min(PAGE, math.floor((most - bytes) / ((bytes - before) / #page)) + 1))
  end
  if last and owed(last, start) then
    return seen ~= nil and not after(last, seen)
  end
  return seen ~= nil or last or redis.call('EXISTS', key) == 0 or not trimmed(key, start)
end

for number = 1, logs do
  local before = #found
  local last = redis.call('GET', KEYS[number + 1 + logs])
  if not read(number, KEYS[number + 1], ARGV[number + 6], last) then
    for index = #found, before + 1, -1 do
      found[index] = nil
    end
    gaps[#gaps + 1] = number
  end
  if come_to ~= '' then
    break
  end
  done = number
  bytes = bytes + LOG_BYTES
  if bytes >= most then
    break
  end
end
return {'ok', clock, found, gaps, done, come_to}
