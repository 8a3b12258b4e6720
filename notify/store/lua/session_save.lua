-- Writes or ends the session of a connection, if it is still that connection's.
--
-- A node that was frozen, or cut off, may not know yet that a client has come back elsewhere; what it does then
-- must not touch the session that has moved. A session that Redis does not have is nobody's.
--
-- KEYS: session      ARGV: 1 node, 2 socket, 3 seconds to live, 4 the session, '' to end it
-- Returns 1, or 0 when another connection has the session.

local stored = redis.call('GET', KEYS[1])
if stored then
  -- What is stored is described in store/session.py; the version before was a list without names.
  local session = cjson.decode(string.match(stored, '\n(.*)$'))
  local node, socket = session.node or session[4], session.socket or session[5]
  if node ~= ARGV[1] or socket ~= ARGV[2] then
    return 0
  end
end
if ARGV[4] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[4], 'EX', ARGV[3])
end
return 1
