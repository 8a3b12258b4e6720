"""What is kept in Redis, and the one client that reaches it."""

from __future__ import annotations

from math import ceil

from notify.redis.client import Redis
from notify.redis.clock import RedisClock
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.settings.settings import Settings
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.notifications.due import Due
from notify.store.notifications.plans import Plans
from notify.store.sessions import Sessions

REFRESH_S = 60
"""How often sessions are refreshed: after a crash, the recovery window may be longer by this."""
LOG_SLACK_S = 60
LOG_MAX_MESSAGES = 10_000
"""What one channel's log keeps, about: 300 messages for a client, but all of an outage for a node."""


class Storage:
    """The connection to the Redis at `redis_url`, and the stores that several storeys share."""

    def __init__(self, settings: Settings, *, redis_url: str, stats: RedisStats) -> None:
        window_s = ceil(settings.recovery_window)
        self.refresh_s = max(1, min(REFRESH_S, window_s // 3))
        self.keys = Keys(settings.redis_prefix)
        self.connector = Connector(redis_url, timeout_s=settings.redis_timeout)
        self.redis = Redis(self.connector, stats=stats)
        self.clock = RedisClock()
        self.inbox = Inbox(self.redis, self.keys, max_entries=settings.inbox_max)
        # A client is owed everything since its connection broke, which is noticed only a ping later; and a
        # session outlives a crashed node by up to one refresh. The log must reach back further than both.
        ping_s = ceil(settings.ping_interval + settings.ping_timeout)
        self.log = Log(
            self.redis,
            self.keys,
            ttl_s=window_s + self.refresh_s + ping_s + LOG_SLACK_S,
            max_messages=LOG_MAX_MESSAGES,
            inbox=self.inbox,
            clock=self.clock,
        )
        self.sessions = Sessions(self.redis, self.keys, window_s=window_s, refresh_s=self.refresh_s)
        self.due = Due(self.redis, self.keys)
        self.plans = Plans(self.redis, self.keys, self.due)
