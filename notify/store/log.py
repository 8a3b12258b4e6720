"""The logs: what was published lately, for those who missed it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from notify.domain.channel import Channel
from notify.domain.errors import NotifyError, Unavailable
from notify.domain.offset import Offset
from notify.redis import scripts
from notify.redis.client import Redis
from notify.redis.clock import RedisClock
from notify.redis.commands import Argument
from notify.store.clock import fresh_epoch, offset_of
from notify.store.inbox import MAX_SWEPT, Inbox, ToInbox
from notify.store.keys import IDEMPOTENCY_TTL_S, Keys
from notify.store.notifications.record import NewRecord

PUBLISH = scripts.load(__package__, "publish", preamble="inbox")
READ_LOGS = scripts.load(__package__, "read_logs")
CATCH_UP = scripts.load(__package__, "catch_up")
ECHO = scripts.load(__package__, "canary")
CUT = scripts.load(__package__, "cut")
RETENTION = scripts.load(__package__, "retention")

EXPIRED_READ = 2_000
"""Entries past their time that a replay may have to skip: each costs Redis about 1 us, for nothing."""

READ_BYTES = 256 * 1024
"""What one call reads of logs, about, so that Redis is not busy with it for long. Entries and logs count as
bytes, too: as much as they cost.
"""

IDS = 500
"""Notifications that one call asks about."""

CLOCK_AHEAD_MS = 60_000
"""How far beyond Redis' TIME a node may move the clock, for what it heard before a failover."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What a log holds after a place: where it stands, and the message as it was published."""

    channel: Channel
    ms: int
    seq: int
    message: bytes


@dataclass(slots=True)  # not frozen: each is made once a publish, and freezing makes that five times as dear
class Entry:
    """One message for one or more channels; kept in their logs unless ephemeral.

    `tail` is what `domain.message.tail` makes, `array` the argument array without its end, so that it ends
    with the first argument. `overlaps`: a socket may be in two of the channels. `once` is (id, piece): a
    piece that is published already is not published again for `remembered_s`, its first offset is returned.
    `expires_ms` is in unix ms, 0 for never. `record` is what is kept of a notification that is not ephemeral;
    what goes into inboxes needs one.
    """

    channels: Sequence[Channel]
    tail: bytes
    array: bytes
    overlaps: bool = False
    ephemeral: bool = False
    expires_ms: int = 0
    once: tuple[str, str] | None = None
    record: NewRecord | None = None
    remembered_s: int = IDEMPOTENCY_TTL_S
    inbox: ToInbox | None = None


Verdict = Literal["ok", "revoked", "changed", "gone", "epoch", "future", "trimmed", "too_many"]


@dataclass(frozen=True, slots=True)
class MissedMessages:
    """An answer to "what did I miss?". Whole or nothing: `missed` is empty unless `verdict` is ok."""

    verdict: Verdict
    clock: Offset | None
    missed: tuple[Missed, ...] = ()


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a node missed: messages by channel, and the channels of which something is missing.

    Only the first `done` of the channels that were asked for have been read, and the next one up to and with
    `come_to`. With a verdict other than ok nothing was, and all of them have a gap.
    """

    verdict: Literal["ok", "epoch", "future", "expired"]
    clock: Offset | None
    missed: Sequence[tuple[Channel, bytes]]
    gaps: Sequence[Channel]
    done: int
    come_to: Offset | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A recovery's claim to a session: what it, and the orders about its user, were when read, and what it is
    to become.
    """

    session_key: str
    revoked_keys: tuple[str, str]
    orders_key: str
    issued_at: int
    was: bytes
    orders: bytes
    becomes: bytes
    ttl_s: int


class Log:
    """Appends and publishes in one step; reads back by offset.

    `clock`, when given, is told Redis' time whenever an answer brings it.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        ttl_s: int,
        max_messages: int,
        inbox: Inbox,
        clock: RedisClock | None = None,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._redis_clock = clock
        self._ttl_s = self._kept_s = ttl_s
        self._max_messages = max_messages
        self._inbox = inbox
        self._sweeping: set[asyncio.Task[None]] = set()

    async def append(self, *entries: Entry) -> list[Offset | NotifyError]:
        """Publish each entry to all of its channels under one offset, in order, and put it into inboxes.

        For each its offset, or the error: Unavailable means that Redis may or may not have it. Of what was
        retracted already nothing is published, and the offset is the clock's.
        """
        replies = await self._redis.run_many(PUBLISH, [self._call(entry) for entry in entries])
        for number, entry in enumerate(entries):
            if isinstance(replies[number], list):
                replies[number] = await self._after_sweep(entry, replies[number])
        return [reply if isinstance(reply, NotifyError) else offset_of(reply) for reply in replies]

    def append_soon(self, entry: Entry, done: Callable[[NotifyError | None], None]) -> None:
        """Publish one entry as `append` does. `done` is called when Redis has it, or with the error.

        That may be before this returns.
        """

        def replied(reply: Any) -> None:
            if isinstance(reply, list):
                self._sweep(entry, reply, done)
            else:
                done(reply if isinstance(reply, NotifyError) else None)

        names, args = self._call(entry)
        self._redis.run_soon(PUBLISH, names, args, replied)

    def _sweep(self, entry: Entry, due: Any, done: Callable[[NotifyError | None], None]) -> None:
        async def sweep() -> None:
            reply = await self._after_sweep(entry, due)
            done(reply if isinstance(reply, NotifyError) else None)

        task = asyncio.get_running_loop().create_task(sweep())
        self._sweeping.add(task)
        task.add_done_callback(self._sweeping.discard)

    async def _after_sweep(self, entry: Entry, due: Any) -> Any:
        """More was due in some inboxes than one call may do: nothing of the entry is written so far."""
        try:
            for _ in range(MAX_SWEPT):
                for number in due:
                    await self._inbox.snapshot(entry.channels[number - 1].name)
                due = await self._redis.run(PUBLISH, *self._call(entry))
                if not isinstance(due, list):
                    return due
        except NotifyError as error:
            return error
        return Unavailable("More becomes due in an inbox than can be done", retry_after_s=1)

    def _call(self, entry: Entry) -> tuple[list[str], list[Argument]]:
        keys = self._keys
        sent_key, piece = (
            (keys.sent(entry.once[0]), entry.once[1]) if entry.once is not None else (keys.clock, "")
        )
        addresses = [channel.address for channel in entry.channels]
        names = [keys.clock, sent_key, *[keys.log_prefix + address for address in addresses]]
        args: list[Argument] = [
            fresh_epoch(),
            piece,
            entry.remembered_s,
            0 if entry.ephemeral else self._kept_s,
            self._max_messages,
            entry.expires_ms,
            "o" if entry.overlaps else "-",
            entry.tail,
            entry.array,
            len(addresses),
            *[keys.topic_prefix + address for address in addresses],
        ]
        if entry.record is not None:
            owner = entry.inbox.owner(entry.channels) if entry.inbox is not None else ""
            names.append(keys.record(entry.record.id))
            args += (entry.record.head(owner, entry.expires_ms), int(entry.record.partial))
        if entry.inbox is not None:
            more_names, more_args = self._inbox.additions(entry.inbox, entry.channels, entry.expires_ms)
            names += more_names
            args += more_args
        return names, args

    async def replay(
        self, places: Sequence[tuple[Channel, Offset]], *, reached: Offset, most: int, claim: Claim
    ) -> MissedMessages:
        """What a returning client missed, and the session claimed for it, in one step.

        `reached` is the client's own offset: one never given out is refused. At most `most` messages.
        """
        keys = self._keys
        addresses = [channel.address for channel, _ in places]
        names = [
            keys.clock,
            claim.session_key,
            *claim.revoked_keys,
            claim.orders_key,
            *(keys.log_prefix + address for address in addresses),
            *(keys.last_prefix + address for address in addresses),
        ]
        at = [offset.entry for _, offset in places]
        allowed = most + EXPIRED_READ
        missed: list[Missed] = []
        while True:  # each call reads something, of `allowed` entries at most
            verdict, clock, found, *progress = await self._redis.run(
                READ_LOGS,
                names,
                [
                    reached.epoch,
                    most - len(missed),
                    allowed,
                    reached.entry,
                    claim.issued_at,
                    claim.was,
                    claim.orders,
                    claim.becomes,
                    claim.ttl_s,
                    READ_BYTES,
                    *at,
                ],
            )
            if verdict not in (b"ok", b"more"):
                return MissedMessages(verdict.decode(), offset_of(clock) if clock else None)
            for number, entry, message in zip(found[0::3], found[1::3], found[2::3], strict=True):
                ms, _, seq = entry.partition(b"-")
                missed.append(Missed(places[number - 1][0], int(ms), int(seq), message))
            if verdict == b"ok":
                break
            come_to, read = progress
            allowed -= read
            for number, place in zip(come_to[0::2], come_to[1::2], strict=True):
                at[number - 1] = place.decode()
        # Where a message went to several channels the user's copy comes first: it alone tells of the inbox.
        missed.sort(key=lambda one: (one.ms, one.seq, one.channel.kind != "user"))
        return MissedMessages(verdict.decode(), offset_of(clock) if clock else None, tuple(missed))

    async def catch_up(
        self,
        starts: Sequence[tuple[Channel, Offset, bool]],
        *,
        reached: Offset,
        heard_ms: int,
        window_ms: int,
    ) -> CaughtUp:
        """What a node missed in the logs of its channels. At most a few hundred of them at a time.

        A start is a channel, an offset, and whether what stands at it is owed too. `reached` is the
        latest offset that the node has heard, `heard_ms` when it last heard everything (unix ms of Redis),
        `window_ms` for how long logs can be relied on. Raises Unavailable.
        """
        keys = self._keys
        addresses = [channel.address for channel, _, _ in starts]
        verdict, clock, found, gaps, done, *rest = await self._redis.run(
            CATCH_UP,
            [
                keys.clock,
                *(keys.log_prefix + address for address in addresses),
                *(keys.last_prefix + address for address in addresses),
            ],
            [
                reached.epoch,
                READ_BYTES,
                reached.entry,
                heard_ms,
                window_ms,
                CLOCK_AHEAD_MS,
                *(offset.entry if inclusive else "(" + offset.entry for _, offset, inclusive in starts),
            ],
        )
        return CaughtUp(
            verdict.decode(),
            offset_of(clock) if clock else None,
            [
                (starts[number - 1][0], message)
                for number, message in zip(found[0::3], found[2::3], strict=True)
            ],
            [starts[number - 1][0] for number in gaps],
            done,
            offset_of(reached.epoch.encode() + b"-" + rest[0]) if rest and rest[0] else None,
        )

    async def retracted(self, notification_ids: Sequence[str]) -> frozenset[str]:
        """Those of these notifications that were retracted. Raises Unavailable."""
        found: set[str] = set()
        for begin in range(0, len(notification_ids), IDS):
            piece = notification_ids[begin : begin + IDS]
            marks = await self._redis.execute("MGET", *(self._keys.retracted(id_) for id_ in piece))
            found.update(id_ for id_, mark in zip(piece, marks, strict=True) if mark is not None)
        return frozenset(found)

    async def promise(self) -> None:
        """Have all nodes keep logs for as long as sessions of this one may ask, and keep them for as long as
        those of others may. To be called again and again. Raises Unavailable.
        """
        self._kept_s = int(await self._redis.run(RETENTION, [self._keys.retention], [self._ttl_s]))

    async def echo(self, topic: str, token: str) -> None:
        """Publish `canary <token> <clock> <unix ms of Redis>` on a topic. Raises Unavailable."""
        sent_at = time.monotonic()
        seconds, microseconds = await self._redis.run(ECHO, [self._keys.clock], [topic, token, fresh_epoch()])
        if self._redis_clock is not None:
            self._redis_clock.observe(int(seconds) + int(microseconds) / 1e6, sent_at=sent_at)

    async def cut(self, topics: Sequence[str], token: str) -> None:
        """Publish `cut <token>` on all of these topics in one step. Raises Unavailable."""
        await self._redis.run(CUT, [], [token, *topics])

    async def clock(self) -> Offset | None:
        """Where the total order stands now, or None when nothing was ever published."""
        reply = await self._redis.execute("GET", self._keys.clock)
        return offset_of(reply) if reply else None
