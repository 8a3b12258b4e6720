-- Publishes a cut on the topics of two nodes in one step, so that it stands at one place of the order of all messages.
--
-- ARGV: token, topic...      Publishes `cut <token>`.

for i = 2, #ARGV do
  redis.call('PUBLISH', ARGV[i], 'cut ' .. ARGV[1])
end
return 1
