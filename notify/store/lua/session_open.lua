-- Begins the sessions of new connections, all at the place where the clock stands now.
--
-- KEYS: clock; then of each connection session, revoked, the same by the version before, inbox
-- ARGV: 1 epoch; then of each 1 the token's iat, 2 seconds to live, 3 the session, 4 whether it has an inbox (1 or 0)
-- Returns {start offset, answer...}: of each connection 0 when its token was revoked, 1, or {rev, unseen, unread, total,
-- due} of its inbox. `due` may have passed: then the inbox is to be looked at. With 0 seconds nothing is kept.

local clock = redis.call('GET', KEYS[1])
if not clock then
  clock = ARGV[1] .. '-0-0'
  redis.call('SET', KEYS[1], clock)
end
local marks = {}
for key = 2, #KEYS, 4 do
  marks[#marks + 1] = KEYS[key + 1]
  marks[#marks + 1] = KEYS[key + 2]
end
marks = redis.call('MGET', unpack(marks))

local function is_revoked(before, issued)
  return before and issued < tonumber(before)
end

local answers = {clock}
for i = 1, #marks / 2 do
  local key, argument = 4 * i - 2, 4 * i - 2
  local issued = tonumber(ARGV[argument])
  if is_revoked(marks[2 * i - 1], issued) or is_revoked(marks[2 * i], issued) then
    answers[i + 1] = 0
  else
    if tonumber(ARGV[argument + 1]) > 0 then
      redis.call('SET', KEYS[key], clock .. '\n' .. ARGV[argument + 2], 'EX', ARGV[argument + 1])
    end
    if ARGV[argument + 3] == '1' then
      local box = read_inbox(KEYS[key + 3])
      answers[i + 1] = {box.rev, box.unseen, box.unread, box.total, box.due}
    else
      answers[i + 1] = 1
    end
  end
end
return answers
