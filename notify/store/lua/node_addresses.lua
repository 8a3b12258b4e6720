#!lua flags=allow-oom
-- Under which mark and at which address each node is reached by the others, and what they prove themselves with.
--
-- KEYS: addresses, cluster secret
-- ARGV: mark, or '' to look only; its address, or '' to forget it; ms an address holds; a fresh secret; '1' where
--       the mark must not be another's
-- Returns '1' if the mark is another's (nothing was said then), marks and addresses in turn, and the secrets that
-- are accepted, the newest first. The secret is made when there is none; an address is kept as `<unix ms> <url>`.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local mark, url, holds = ARGV[1], ARGV[2], tonumber(ARGV[3])

local living, gone, taken = {}, {}, '0'
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local said, at = string.match(flat[i + 1], '^(%d+) (.+)$')
  if said == nil or now - tonumber(said) >= holds then
    gone[#gone + 1] = flat[i]
  elseif flat[i] ~= mark then
    living[#living + 1] = flat[i]
    living[#living + 1] = at
  elseif ARGV[5] == '1' and at ~= url then
    taken = '1'
    living[#living + 1] = mark
    living[#living + 1] = at
  end
end
for i = 1, #gone do
  redis.call('HDEL', KEYS[1], gone[i])
end
if mark ~= '' and url == '' then
  redis.call('HDEL', KEYS[1], mark)
elseif mark ~= '' and taken == '0' then
  redis.call('HSET', KEYS[1], mark, string.format('%.0f', now) .. ' ' .. url)
  redis.call('PEXPIRE', KEYS[1], holds)
  living[#living + 1] = mark
  living[#living + 1] = url
end

redis.call('HSETNX', KEYS[2], 'newest', ARGV[4])
local newest = redis.call('HGET', KEYS[2], 'newest')
local former = {}
flat = redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
  if flat[i] ~= 'newest' and tonumber(flat[i + 1]) > now then
    former[#former + 1] = {flat[i], tonumber(flat[i + 1])}
  end
end
table.sort(former, function(a, b) return a[2] > b[2] end)
local secrets = {newest}
for i = 1, #former do
  secrets[#secrets + 1] = former[i][1]
end
return {taken, living, secrets}
