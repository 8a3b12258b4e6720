"""The verb at the heart: take a notification, and answer only when Redis holds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import structlog

from notify.domain.channel import Channel
from notify.domain.errors import Forbidden, InFlight, Invalid, KeyReused, NotifyError
from notify.domain.notification import RESERVED_EVENTS, Accepted, Notification
from notify.domain.notification_id import derived_id, new_id
from notify.domain.offset import Offset
from notify.service.stats import ServiceStats
from notify.store.idempotency import IdempotencyKeys
from notify.store.log import Entry, Log

NO_TRACE = "-"

PIECE = 32
"""Users whose logs one script call appends to: Redis is busy with it for 1 to 2 ms."""

MESSAGE_TTL_S = 24 * 3600
"""What one client sends another is replayed at most this long after (and no longer than the logs live)."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key, inside the API key it came with, and the SHA-256 of the body."""

    scope: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Origin:
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

    def item_id(self, index: int) -> str:
        """The id of a batch's item."""
        return derived_id(self.id, index, self.created_ms) if self.once else new_id(self.created_ms)


class Publisher:
    """Publishes for backends (`publish`, `publish_batch`) and for clients (`send`)."""

    def __init__(
        self,
        *,
        log: Log,
        idempotency_keys: IdempotencyKeys,
        stats: ServiceStats,
        now: Callable[[], float] = time.time,
        trace: Callable[[], str] = lambda: NO_TRACE,
    ) -> None:
        """`trace` is one word for what is being worked on, a request id: it goes with what is published."""
        self._log = log
        self._keys = idempotency_keys
        self._stats = stats
        self._now = now
        self._trace = trace

    async def publish(
        self, notification: Notification, *, idempotency: Idempotency | None = None
    ) -> Accepted:
        """Publish to every channel of the target; returns when Redis has all of it.

        Raises Invalid (no channel), KeyReused, InFlight, Unavailable. After Unavailable a retry with the same
        key finishes what was begun; without a key it may come twice.
        """
        origin, replayed = await self._begin(idempotency)
        accepted = _accepted(origin.id, notification, origin, replayed=replayed)
        if replayed:
            self._stats.idempotent_replays += 1
            log.info("replayed", id=accepted.id)
            return accepted
        entries = _entries(accepted, notification, origin, prefix="", trace=self._trace())
        _raise_first(await self._log.append(*entries))
        await self._finish(idempotency)
        self._count(notification)
        log.info("accepted", id=accepted.id, target=notification.target.kind)
        return accepted

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
        owners: list[int] = []
        for index, item in enumerate(items):
            if isinstance(item, NotifyError):
                results.append(item)
                continue
            accepted = _accepted(origin.item_id(index), item, origin, replayed=replayed)
            try:
                pieces = [] if replayed else _entries(accepted, item, origin, prefix=f"{index}:", trace=trace)
            except NotifyError as error:
                results.append(error)
                continue
            results.append(accepted)
            entries += pieces
            owners += [index] * len(pieces)
        if replayed:
            self._stats.idempotent_replays += 1
            log.info("batch_replayed", id=origin.id)
            return results
        failed = False
        for owner, outcome in zip(owners, await self._log.append(*entries), strict=True):
            if isinstance(outcome, NotifyError):
                results[owner] = outcome
                failed = True
        if not failed:
            await self._finish(idempotency)
        for item, result in zip(items, results, strict=True):
            if isinstance(item, Notification) and isinstance(result, Accepted):
                self._count(item)
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
        body = f" - {self._trace()}\n".encode() + orjson.dumps([event, message])[:-1]
        expires_ms = int(self._now() * 1000) + MESSAGE_TTL_S * 1000
        (outcome,) = await self._log.append(Entry((channel,), body, expires_ms=expires_ms))
        if isinstance(outcome, NotifyError):
            raise outcome
        self._stats.client_messages += 1
        return outcome

    def _count(self, notification: Notification) -> None:
        self._stats.published[notification.target.kind] += 1

    async def _begin(self, idempotency: Idempotency | None) -> tuple[Origin, bool]:
        created_ms = int(self._now() * 1000)
        origin = Origin(new_id(created_ms), created_ms, once=idempotency is not None)
        if idempotency is None:
            return origin, False
        claimed = await self._keys.claim(
            idempotency.scope, idempotency.key, idempotency.fingerprint, origin.encode()
        )
        if claimed.verdict == "reused":
            raise KeyReused(
                "This Idempotency-Key came before with another body; use a new key for a new request"
            )
        if claimed.verdict == "busy":
            raise InFlight("A request with this Idempotency-Key is being worked on", retry_after_s=1)
        return Origin.decode(claimed.answer), claimed.verdict == "done"

    async def _finish(self, idempotency: Idempotency | None) -> None:
        if idempotency is not None:
            await self._keys.finish(idempotency.scope, idempotency.key)


def _accepted(
    notification_id: str, notification: Notification, origin: Origin, *, replayed: bool
) -> Accepted:
    ttl_s = notification.ttl_s
    expires = _moment(origin.created_ms + ttl_s * 1000) if ttl_s else None
    return Accepted(notification_id, _moment(origin.created_ms), expires, replayed)


@lru_cache(maxsize=1024)
def _moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def _entries(
    accepted: Accepted, notification: Notification, origin: Origin, *, prefix: str, trace: str
) -> list[Entry]:
    """The script calls of one notification: users in pieces, or everything at once where targets overlap.

    A socket in two of the channels sees it once, because what may overlap is published under one offset.
    """
    target = notification.target
    channels = target.channels(notification.namespace)
    if not channels:
        raise Invalid("The target is nobody in this namespace")
    body = _head(notification, trace) + _array(accepted, notification)
    size = len(channels) if target.overlaps else PIECE
    ephemeral = not notification.ttl_s
    expires_ms = 0 if ephemeral else origin.created_ms + notification.ttl_s * 1000
    return [
        Entry(
            channels[begin : begin + size],
            body,
            ephemeral=ephemeral,
            expires_ms=expires_ms,
            once=(origin.id, f"{prefix}{begin}") if origin.once else None,
        )
        for begin in range(0, len(channels), size)
    ]


def _head(notification: Notification, trace: str) -> bytes:
    target = notification.target
    head = f" {'o' if target.overlaps else '-'} {trace}".encode()
    if target.except_users:
        return head + b" " + orjson.dumps(sorted(target.except_users)) + b"\n"
    return head + b"\n"


def _array(accepted: Accepted, notification: Notification) -> bytes:
    """`["notification",{...}`: the end is put on in Redis, where the offset is known."""
    shown: dict[str, Any] = {"id": accepted.id}
    for name in ("title", "body", "url", "category"):
        value = getattr(notification, name)
        if value is not None:
            shown[name] = value
    shown["priority"] = notification.priority
    if notification.data is not None:
        shown["data"] = notification.data
    shown["created_at"] = timestamp(accepted.created_at)
    if accepted.expires_at is not None:
        shown["expires_at"] = timestamp(accepted.expires_at)
    return orjson.dumps([notification.event, shown])[:-1]


@lru_cache(maxsize=1024)
def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _raise_first(outcomes: Sequence[Offset | NotifyError]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, NotifyError):
            raise outcome
