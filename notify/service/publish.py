"""The verb at the heart: take a notification, and answer only when Redis holds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import structlog

from notify.domain.channel import Channel
from notify.domain.errors import Forbidden, InFlight, KeyReused, NotifyError
from notify.domain.message import NO_TRACE, tail
from notify.domain.notifications.notification import DEFAULT_TTL_S, RESERVED_EVENTS, Accepted, Notification
from notify.domain.notifications.notification_id import derived_id, new_id
from notify.domain.notifications.plan import Plan
from notify.domain.offset import Offset
from notify.service.pieces import PIECE, Once, pieces, record_of
from notify.service.stats import ServiceStats
from notify.store.idempotency import IdempotencyKeys
from notify.store.log import Entry, Log
from notify.store.notifications.plans import Plans

MESSAGE_TTL_S = 24 * 3600
"""What one client sends another is replayed at most this long after (and no longer than the logs live)."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key, inside its API key, and the SHA-256 of the body and of what it means."""

    scope: str
    key: str
    body: bytes
    meaning: bytes


class Origin(NamedTuple):
    """What fixes the ids and times of a request's notifications, so that a retry makes the same ones."""

    id: str
    created_ms: int
    once: bool

    def encode(self) -> bytes:
        """As it is kept with an Idempotency-Key."""
        return orjson.dumps([self.id, self.created_ms])

    @classmethod
    def decode(cls, kept: bytes) -> Origin:
        """The inverse of `encode`, for a request that is to be finished or answered again."""
        notification_id, created_ms = orjson.loads(kept)
        return cls(notification_id, created_ms, once=True)

    def remembered(self, prefix: str = "") -> Once | None:
        """How pieces are remembered of what is published at once."""
        return Once(self.id, prefix) if self.once else None

    def item_id(self, index: int) -> str:
        """The id of a batch's item."""
        return derived_id(self.id, index, self.created_ms) if self.once else new_id(self.created_ms)


class Publisher:
    """Publishes for backends (`publish`, `publish_batch`) and for clients (`send`)."""

    def __init__(
        self,
        *,
        log: Log,
        plans: Plans,
        idempotency_keys: IdempotencyKeys,
        stats: ServiceStats,
        now: Callable[[], float] = time.time,
        trace: Callable[[], str] = lambda: NO_TRACE,
        inbox_ttl_s: int = DEFAULT_TTL_S,
    ) -> None:
        """`trace` is one word for what is being worked on, a request id: it goes with what is published.

        What goes into inboxes stays there, and is worth something at all, for `inbox_ttl_s` at most.
        """
        self._inbox_ttl_s = inbox_ttl_s
        self._log = log
        self._plans = plans
        self._keys = idempotency_keys
        self._stats = stats
        self._now = now
        self._trace = trace
        # Bound once: a logger of a module is made anew for each line, even for one that is not written.
        self._journal = structlog.get_logger(__name__).bind()

    async def publish(
        self, notification: Notification, *, idempotency: Idempotency | None = None
    ) -> Accepted:
        """Publish to every channel of the target, or keep it for later; returns when Redis has all of it.

        Raises Invalid (no channel), KeyReused, InFlight, Unavailable. After Unavailable a retry with the same
        key finishes what was begun; without a key it may come twice.
        """
        origin, replayed = await self._begin(idempotency)
        accepted = self._accepted(origin.id, notification, origin, replayed=replayed)
        if replayed:
            self._stats.idempotent_replays += 1
            log.info("replayed", id=accepted.id)
            return accepted
        trace = self._trace()
        if accepted.deliver_ms is None:
            entries = pieces(accepted, notification, once=origin.remembered(), trace=trace)
            _raise_first(await self._log.append(*entries))
        else:
            _raise_first(await self._plans.keep(_planned(accepted, notification, trace)))
        await self._finish(idempotency)
        self._count(accepted, notification)
        log.info(accepted.status, id=accepted.id, target=notification.target.kind)
        return accepted

    def publish_soon(
        self, notification: Notification, *, trace: str, done: Callable[[Accepted | NotifyError], None]
    ) -> bool:
        """Publish as `publish` does, for who does not await it; `done` is called when Redis has all of it.

        False, and nothing is done, for what is not one piece that is published now. Raises Invalid. `done`
        may be called before this returns.
        """
        if notification.deliver_at_ms is not None or notification.target.size > PIECE:
            return False
        created_ms = int(self._now() * 1000)
        origin = Origin(new_id(created_ms), created_ms, once=False)
        accepted = self._accepted(origin.id, notification, origin, replayed=False)
        entries = pieces(accepted, notification, once=None, trace=trace)
        if len(entries) != 1:
            return False

        def appended(error: NotifyError | None) -> None:
            if error is None:
                self._count(accepted, notification)
                self._journal.info(
                    "accepted", id=accepted.id, target=notification.target.kind, request_id=trace
                )
            done(accepted if error is None else error)

        self._log.append_soon(entries[0], appended)
        return True

    async def publish_batch(
        self, items: Sequence[Notification | NotifyError], *, idempotency: Idempotency | None = None
    ) -> list[Accepted | NotifyError]:
        """Publish each item; errors among the items, and errors that come up, stand in their places.

        One key covers the whole batch. Raises KeyReused, InFlight, Unavailable (nothing was accepted).
        """
        origin, replayed = await self._begin(idempotency)
        trace = self._trace()
        results: list[Accepted | NotifyError] = []
        entries: list[Entry] = []
        planned: list[tuple[Plan, bytes]] = []
        owners: list[int] = []
        planners: list[int] = []
        for index, item in enumerate(items):
            if isinstance(item, NotifyError):
                results.append(item)
                continue
            accepted = self._accepted(origin.item_id(index), item, origin, replayed=replayed)
            try:
                if not replayed and accepted.deliver_ms is None:
                    its = pieces(accepted, item, once=origin.remembered(f"{index}:"), trace=trace)
                    entries += its
                    owners += [index] * len(its)
                elif not replayed:
                    planned.append(_planned(accepted, item, trace))
                    planners.append(index)
            except NotifyError as error:
                results.append(error)
            else:
                results.append(accepted)
        if replayed:
            self._stats.idempotent_replays += 1
            log.info("batch_replayed", id=origin.id)
            return results
        failed = False
        outcomes = [*await self._log.append(*entries), *await self._plans.keep(*planned)]
        for owner, outcome in zip([*owners, *planners], outcomes, strict=True):
            if isinstance(outcome, NotifyError):
                results[owner] = outcome
                failed = True
        if not failed:
            await self._finish(idempotency)
        for item, result in zip(items, results, strict=True):
            if isinstance(item, Notification) and isinstance(result, Accepted):
                self._count(result, item)
        accepted_count = sum(isinstance(result, Accepted) for result in results)
        log.info(
            "batch_accepted", id=origin.id, accepted=accepted_count, rejected=len(results) - accepted_count
        )
        return results

    async def send(self, sender: str, channel: Channel, event: str, data: Any) -> Offset:
        """What one client sends to another, or to a room: `{from, to, data}`, in order with all the rest.

        Raises Forbidden for a reserved event name, Unavailable.
        """
        if event in RESERVED_EVENTS:
            raise Forbidden(f"The event name {event!r} is reserved")
        message = {"from": sender, "to": {channel.kind: channel.name}, "data": data}
        array = orjson.dumps([event, message])[:-1]
        expires_ms = int(self._now() * 1000) + MESSAGE_TTL_S * 1000
        (outcome,) = await self._log.append(
            Entry((channel,), tail(None, self._trace()), array, expires_ms=expires_ms)
        )
        if isinstance(outcome, NotifyError):
            raise outcome
        self._stats.client_messages += 1
        return outcome

    def _count(self, accepted: Accepted, notification: Notification) -> None:
        self._stats.published[notification.target.kind] += 1
        if accepted.deliver_ms is None:
            self._stats.channels += notification.target.size
        else:
            self._stats.scheduled["accepted"] += 1

    async def _begin(self, idempotency: Idempotency | None) -> tuple[Origin, bool]:
        created_ms = int(self._now() * 1000)
        origin = Origin(new_id(created_ms), created_ms, once=idempotency is not None)
        if idempotency is None:
            return origin, False
        claimed = await self._keys.claim(
            idempotency.scope,
            idempotency.key,
            body=idempotency.body,
            meaning=idempotency.meaning,
            answer=origin.encode(),
        )
        if claimed.verdict == "reused":
            raise KeyReused(
                "This Idempotency-Key came before with another body; use a new key for a new request"
            )
        if claimed.verdict == "busy":
            raise InFlight("A request with this Idempotency-Key is being worked on", retry_after_s=1)
        return Origin.decode(claimed.answer), claimed.verdict == "done"

    def _accepted(
        self, notification_id: str, notification: Notification, origin: Origin, *, replayed: bool
    ) -> Accepted:
        ttl_s = notification.ttl_s
        if ttl_s > self._inbox_ttl_s and notification.enters_inboxes:
            ttl_s = self._inbox_ttl_s
        deliver_ms = notification.deliver_at_ms
        if deliver_ms is not None and deliver_ms <= origin.created_ms:
            deliver_ms = None
        expires_ms = (deliver_ms or origin.created_ms) + ttl_s * 1000 if ttl_s else None
        return Accepted(notification_id, origin.created_ms, expires_ms, replayed, deliver_ms)

    async def _finish(self, idempotency: Idempotency | None) -> None:
        if idempotency is not None:
            await self._keys.finish(idempotency.scope, idempotency.key)


def _planned(accepted: Accepted, notification: Notification, trace: str) -> tuple[Plan, bytes]:
    return Plan(accepted, notification, trace), record_of(accepted, notification)


def _raise_first(outcomes: Sequence[Offset | NotifyError | None]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, NotifyError):
            raise outcome
