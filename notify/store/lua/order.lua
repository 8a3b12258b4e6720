#!lua flags=allow-oom
-- Writes down what a backend ordered about a user, so that nobody is missed who is not there to hear it: a client
-- that is just away, a node that is cut off.
--
-- An order has an offset of its own, so it is either before or after the beginning of a session and the joining of
-- a room. See store/orders.py for what is stored.
--
-- KEYS: clock, orders, revoked, retention
-- ARGV: 1 epoch, should the clock not exist yet
--       2 'disconnect', 'revoke' (and disconnect) or 'remove' (from a room)
--       3 the room as store/orders.py names it
--       4 seconds that an order is kept at least
--       5 seconds that a revocation is kept
-- Returns the order's offset.

local ttl = math.max(tonumber(ARGV[4]), tonumber(redis.call('GET', KEYS[4]) or 0))

local offset = next_offset()
local stored = redis.call('GET', KEYS[2])
local orders = stored and cjson.decode(stored) or {}
if ARGV[2] == 'remove' then
  local rooms = {}
  for room, at in pairs(orders.rooms or {}) do
    local ordered_ms = tonumber(string.match(at, '%-(%d+)%-'))
    if ordered_ms > now - ttl * 1000 then
      rooms[room] = at
    end
  end
  rooms[ARGV[3]] = offset
  orders.rooms = rooms
else
  orders.away = offset
  orders.rooms = nil -- the sessions that these were about are over
end
orders.v = 1
orders.at = offset

redis.call('SET', KEYS[2], cjson.encode(orders), 'EX', ttl)
if ARGV[2] == 'revoke' then
  -- Tokens tell when they were issued in whole seconds: one of this very second is refused too.
  local before = math.max(tonumber(time[1]) + 1, tonumber(redis.call('GET', KEYS[3]) or 0))
  redis.call('SET', KEYS[3], string.format('%.0f', before), 'EX', ARGV[5])
end
return offset
