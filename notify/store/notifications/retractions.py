"""Taking a notification back: out of inboxes, off screens, and before it was delivered."""

from __future__ import annotations

import re
from typing import Literal

from notify.domain.message import NO_TRACE
from notify.domain.notifications.notification_id import PREFIX
from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.clock import fresh_epoch
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.notifications.due import member
from notify.store.notifications.plans import DELIVER

BEGIN = scripts.load("notify.store", "retract", preamble="inbox")
TELL = scripts.load("notify.store", "retract_tell", preamble="inbox")
FINISH = scripts.load("notify.store", "retract_finish", preamble="inbox")

RETRACT = "retract"
"""The kind that retractions are on the due list as, until they are finished."""
TAKEN_OVER_MS = 2_000
"""Any node finishes a retraction that is not done so long after it was begun."""
PIECE = 32
"""Inboxes that one call takes it out of: Redis is busy with it for about 1 ms."""

Verdict = Literal["unknown", "cancelled", "begun", "done"]

_ID = re.compile(rf"{PREFIX}[0-9A-Z]{{26}}")


class Retractions:
    """First the record says that it is retracted, then everybody is told, and at last the body goes.

    Each step may be done again, by whichever node, and tells nobody twice. All calls raise Unavailable. They
    work while Redis is at its maxmemory.
    """

    def __init__(self, redis: Redis, keys: Keys, inbox: Inbox) -> None:
        self._redis = redis
        self._keys = keys
        self._inbox = inbox

    async def begin(self, notification_id: str) -> Verdict:
        """Decide it. `cancelled`: it was scheduled and nothing of it was delivered, so all is done. `begun`:
        it is to be finished, now or by whoever finds it due.
        """
        if not _ID.fullmatch(notification_id):
            return "unknown"
        keys = self._keys
        verdict = await self._redis.run(
            BEGIN,
            [keys.clock, keys.record(notification_id), keys.sent(notification_id), keys.due],
            [
                fresh_epoch(),
                member(DELIVER, notification_id),
                member(RETRACT, notification_id),
                TAKEN_OVER_MS,
            ],
        )
        found: Verdict = verdict.decode()
        return found

    async def finish(self, notification_id: str, *, trace: str = NO_TRACE) -> None:
        """Tell everybody who has it, and let the body go. `trace` goes with what is published."""
        keys = self._keys
        record = keys.record(notification_id)
        holders = await self._redis.run(
            TELL,
            [keys.clock, record],
            [fresh_epoch(), keys.topic_prefix, notification_id.removeprefix(PREFIX), trace],
        )
        users = [user.decode() for user in holders]
        for begin in range(0, len(users), PIECE):
            await self._inbox.remove(
                notification_id, users[begin : begin + PIECE], reason="retracted", trace=trace
            )
        await self._redis.run(
            FINISH, [keys.clock, record, keys.due], [fresh_epoch(), member(RETRACT, notification_id)]
        )
