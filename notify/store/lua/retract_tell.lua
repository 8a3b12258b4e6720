#!lua flags=allow-oom
-- Tells the channels of a retracted notification that have no inbox, once: the record forgets them in the same step.
-- Who is told by an inbox is left out, so that nobody is told twice.
--
-- KEYS: clock, record
-- ARGV: 1 epoch, 2 what topics begin with, 3 id without `ntf_`, 4 a request's id
-- Returns the users whose inboxes have it.

local stored = redis.call('GET', KEYS[2]) or ''
local first, user, elsewhere, array = string.match(stored, '^(2 [^\n]*\n)([^\n]*)\n([^\n]*)\n(.*)$')
if not first then
  user = string.match(stored, '^1 [^\n]*\n([^\n]*)\n') or ''
end
local holders = user ~= '' and {user} or redis.call('LRANGE', KEYS[2] .. ':to', 0, -1)
if not elsewhere or elsewhere == '' then
  return holders
end
local addresses = cjson.decode(elsewhere)
local offset = next_offset()
local message = offset .. (#addresses > 1 and ' o' or ' -') .. ' 2;0;-;' .. ARGV[4]
  .. (#holders > 0 and ' ' .. cjson.encode(holders) or '')
  .. '\n["notification:removed",{"ids":["ntf_' .. ARGV[3] .. '"],"reason":"retracted"},"' .. offset .. '"]'
for _, address in ipairs(addresses) do
  redis.call('PUBLISH', ARGV[2] .. address, message)
end
redis.call('SET', KEYS[2], first .. user .. '\n\n' .. array, 'KEEPTTL')
return holders
