"""Plans in Redis: notifications that wait for their time, each with a place on the due list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from notify.domain.errors import NotifyError
from notify.domain.notifications.plan import Plan
from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.keys import Keys
from notify.store.notifications.due import Due, member

SCHEDULE = scripts.load("notify.store", "schedule")

DELIVER = "deliver"
"""The kind that they are on the due list as."""


class Plans:
    """A plan stands for as long as any of it is still to be delivered; then it is dropped.

    Its notification has a record from the beginning, which stays until a day after it expires.
    """

    def __init__(self, redis: Redis, keys: Keys, due: Due) -> None:
        self._redis = redis
        self._keys = keys
        self._due = due

    async def keep(self, *plans: tuple[Plan, bytes]) -> list[NotifyError | None]:
        """Keep plans, each with the record that goes with it, as `lua/inbox.lua` has it; all of one or none.

        For each None, also when it had been kept before, or the error: Unavailable means that Redis may or
        may not have it.
        """
        replies = await self._redis.run_many(SCHEDULE, [self._call(plan, record) for plan, record in plans])
        failures = [reply if isinstance(reply, NotifyError) else None for reply in replies]
        kept = [plan.deliver_ms for (plan, _), failed in zip(plans, failures, strict=True) if failed is None]
        if kept:
            self._due.on_added(min(kept))
        return failures

    def _call(self, plan: Plan, record: bytes) -> tuple[Sequence[str], Sequence[str | bytes | int]]:
        keys, id_ = self._keys, plan.accepted.id
        return (
            [keys.plan(id_), keys.record(id_), keys.retracted(id_), keys.sent(id_), keys.due],
            [plan.encode(), record, plan.kept_until_ms, member(DELIVER, id_), plan.deliver_ms],
        )

    async def read(self, notification_ids: Sequence[str]) -> list[Plan | ValueError | None]:
        """The plans of these, None for one that is not there (any more), ValueError for one that a newer
        version made. Raises Unavailable.
        """
        kept = await self._redis.execute("MGET", *(self._keys.plan(id_) for id_ in notification_ids))
        return [None if one is None else _decoded(one) for one in kept]

    async def drop(self, *notification_ids: str) -> None:
        """All of them are delivered, or nothing is to be. Raises Unavailable."""
        await asyncio.gather(
            self._redis.execute("UNLINK", *(self._keys.plan(id_) for id_ in notification_ids)),
            self._due.done(DELIVER, *notification_ids),
        )


def _decoded(kept: bytes) -> Plan | ValueError:
    try:
        return Plan.decode(kept)
    except ValueError as error:
        return error
