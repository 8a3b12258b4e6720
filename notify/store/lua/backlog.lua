-- Reads what logs hold after given places, all at one moment.
--
-- KEYS: clock, session, revoked, log...
-- ARGV: 1 epoch of the places, 2 most messages in all, 3 'replay' or 'catchup'
--       4 place that the clock must have reached (`ms-seq`), 5 the token's iat, 6 the session as it was read,
--       7 the session as it is to be, 8 its seconds to live
--       9... place (`ms-seq`)        (one per log)
-- Returns {verdict, clock, {log number, entry id, message, ...}}. Verdicts other than ok carry nothing:
--   revoked, gone (the session is not what it was), epoch (Redis lost its data), future (a place that was
--   never given out), trimmed (a log no longer reaches back that far), too_many.
-- A replay claims the session for its new connection. A node that catches up instead moves the clock on to
-- what it has seen, so that no offset is given out twice after a failover to a replica that lagged.

local function parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function after(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

local replay = ARGV[3] == 'replay'
if replay then
  local revoked = redis.call('GET', KEYS[3])
  if revoked and tonumber(ARGV[5]) < tonumber(revoked) then
    return {'revoked', '', {}}
  end
  if redis.call('GET', KEYS[2]) ~= ARGV[6] then
    return {'gone', '', {}}
  end
end
local clock = redis.call('GET', KEYS[1])
if not clock then
  return {'epoch', '', {}}
end
local epoch, entry = string.match(clock, '^(%w+)-(%d+%-%d+)$')
if epoch ~= ARGV[1] then
  return {'epoch', clock, {}}
end
local behind = after(ARGV[4], entry)
if behind and replay then
  return {'future', clock, {}}
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, count, found = tonumber(ARGV[2]), 0, {}
for i = 4, #KEYS do
  local place = ARGV[i + 5]
  local info = redis.pcall('XINFO', 'STREAM', KEYS[i])
  if not info.err then
    local facts = {}
    for field = 1, #info, 2 do
      facts[info[field]] = info[field + 1]
    end
    -- Redis does not say how far it has trimmed, only that it has: what came before the first entry is gone.
    local trimmed = facts['entries-added'] > facts['length']
    if trimmed and (not facts['first-entry'] or after(facts['first-entry'][1], place)) then
      return {'trimmed', clock, {}}
    end
    while true do
      local page = redis.call('XRANGE', KEYS[i], '(' .. place, '+', 'COUNT', 500)
      for _, item in ipairs(page) do
        place = item[1]
        local expires = tonumber(item[2][4])
        if expires == 0 or expires > now then
          count = count + 1
          if count > most then
            return {'too_many', clock, {}}
          end
          found[#found + 1] = i - 3
          found[#found + 1] = item[1]
          found[#found + 1] = item[2][2]
        end
      end
      if #page < 500 then
        break
      end
    end
  end
end

if replay then
  redis.call('SET', KEYS[2], ARGV[7], 'EX', ARGV[8])
elseif behind then
  clock = epoch .. '-' .. ARGV[4]
  redis.call('SET', KEYS[1], clock)
end
return {'ok', clock, found}
