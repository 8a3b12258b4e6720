"""What is known of notifications once they were accepted."""

from __future__ import annotations

import re

from notify.domain.notifications.notification_id import PREFIX, created_ms_of
from notify.domain.notifications.receipts import NotificationStatus, Standing
from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.keys import RECORD_KEPT_MS, Keys
from notify.store.notifications.record import Record

READ = scripts.load("notify.store", "record_read")

_ID = re.compile(rf"{PREFIX}[0-9A-Z]{{26}}")


class Records:
    """Reads records. All calls raise Unavailable when Redis does not answer, and work at its maxmemory."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def find(self, notification_id: str) -> Standing | None:
        """How a notification stands by Redis' clock, or None when it is not known (any more)."""
        if not _ID.fullmatch(notification_id):
            return None
        reply = await self._redis.run(READ, [self._keys.record(notification_id)], [])
        if not reply:
            return None
        now_ms, stored, kept_until_ms, retracted, planned, to = reply
        record = Record.parse(stored)
        # What the version before wrote does not say when: but its id does, and how long it is kept.
        created_ms = record.created_ms or created_ms_of(notification_id)
        expires_ms = record.expires_ms
        if expires_ms is None:
            expires_ms = kept_until_ms - RECORD_KEPT_MS
        status: NotificationStatus = "accepted"
        if retracted:
            status = "retracted"
        elif planned:
            status = "scheduled"
        elif 0 < expires_ms <= now_ms:
            status = "expired"
        holders = sorted(user.decode() for user in to) or ([record.user] if record.user else [])
        return Standing(
            notification_id, status, created_ms, expires_ms or None, record.recipients, holders, record.shown
        )
