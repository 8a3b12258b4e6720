"""The logs: what was published lately, for those who missed it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.domain.offset import Offset
from notify.store import scripts
from notify.store.connection import Redis, StoreError
from notify.store.keys import IDEMPOTENCY_TTL_S, Keys

PUBLISH = scripts.load("publish")
BACKLOG = scripts.load("backlog")
ECHO = scripts.load("echo")

CATCH_UP_CHANNELS = 200
"""Logs that one call reads at most, so that Redis is never busy for long."""


def fresh_epoch() -> str:
    """A new epoch, should the clock not exist: never the same twice, or lost data would not be noticed."""
    return f"{random.getrandbits(32):08x}"


def offset_of(reply: bytes) -> Offset:
    """The offset in a script's answer. Raises StoreError when something else wrote to the clock."""
    offset = Offset.parse(reply.decode())
    if offset is None:
        raise StoreError(
            "the clock in Redis does not hold an offset: does something else write under the prefix?"
        )
    return offset


@dataclass(frozen=True, slots=True)
class Missed:
    """What a log holds after a place: where it stands, and the message as it was published."""

    channel: Channel
    ms: int
    seq: int
    message: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One message for one or more channels; kept in their logs unless ephemeral.

    `body` is everything that follows the offset: flags, newline, the argument array without its end (see
    `backplane.delivery`). `once` is (id, piece): a piece that is published already is not published again,
    and its first offset is returned. `expires_ms` is in unix ms, 0 for never.
    """

    channels: Sequence[Channel]
    body: bytes
    ephemeral: bool = False
    expires_ms: int = 0
    once: tuple[str, str] | None = None


Verdict = Literal["ok", "revoked", "gone", "epoch", "future", "trimmed", "too_many"]


@dataclass(frozen=True, slots=True)
class Backlog:
    """An answer to "what did I miss?". Whole or nothing: `missed` is empty unless `verdict` is ok."""

    verdict: Verdict
    clock: Offset | None
    missed: tuple[Missed, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A recovery's claim to a session: what it was when read, what it is to become."""

    session_key: str
    revoked_key: str
    issued_at: int
    was: bytes
    becomes: bytes
    ttl_s: int


class Log:
    """Appends and publishes in one step; reads back by offset."""

    def __init__(self, redis: Redis, keys: Keys, *, ttl_s: int, max_messages: int) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl_s = ttl_s
        self._max_messages = max_messages

    async def append(self, *entries: Entry) -> list[Offset | NotifyError]:
        """Publish each entry to all of its channels under one offset, in order.

        For each its offset, or the error: Unavailable means that Redis may or may not have it.
        """
        replies = await self._redis.run_many(PUBLISH, [self._call(entry) for entry in entries])
        return [reply if isinstance(reply, NotifyError) else offset_of(reply) for reply in replies]

    def _call(self, entry: Entry) -> tuple[list[str], list[str | bytes | int]]:
        keys = self._keys
        sent_key, piece = (
            (keys.sent(entry.once[0]), entry.once[1]) if entry.once is not None else (keys.clock, "")
        )
        addresses = [channel.address for channel in entry.channels]
        return (
            [keys.clock, sent_key, *[keys.log_prefix + address for address in addresses]],
            [
                fresh_epoch(),
                piece,
                IDEMPOTENCY_TTL_S,
                0 if entry.ephemeral else self._ttl_s,
                self._max_messages,
                entry.expires_ms,
                entry.body,
                *[keys.topic_prefix + address for address in addresses],
            ],
        )

    async def replay(
        self, places: Sequence[tuple[Channel, Offset]], *, reached: Offset, most: int, claim: Claim
    ) -> Backlog:
        """What a returning client missed, and the session claimed for it, in one step.

        `reached` is the client's own offset: one never given out is refused. At most `most` messages.
        """
        return await self._read(
            places,
            [
                reached.epoch,
                most,
                "replay",
                reached.entry,
                claim.issued_at,
                claim.was,
                claim.becomes,
                claim.ttl_s,
            ],
            session_key=claim.session_key,
            revoked_key=claim.revoked_key,
        )

    async def catch_up(self, places: Sequence[tuple[Channel, Offset]], *, reached: Offset) -> Backlog:
        """What a node missed in the channels of its sockets; call with at most CATCH_UP_CHANNELS of them."""
        return await self._read(
            places, [reached.epoch, self._max_messages * 10, "catchup", reached.entry, 0, "", "", 0]
        )

    async def _read(
        self,
        places: Sequence[tuple[Channel, Offset]],
        args: list[str | bytes | int],
        *,
        session_key: str | None = None,
        revoked_key: str | None = None,
    ) -> Backlog:
        keys = self._keys
        verdict, clock, found = await self._redis.run(
            BACKLOG,
            [
                keys.clock,
                session_key or keys.clock,
                revoked_key or keys.clock,
                *(keys.log_prefix + channel.address for channel, _ in places),
            ],
            [*args, *(offset.entry for _, offset in places)],
        )
        missed = []
        for number, entry, message in zip(found[0::3], found[1::3], found[2::3], strict=True):
            ms, _, seq = entry.partition(b"-")
            missed.append(Missed(places[number - 1][0], int(ms), int(seq), message))
        missed.sort(key=lambda one: (one.ms, one.seq))
        return Backlog(verdict.decode(), offset_of(clock) if clock else None, tuple(missed))

    async def echo(self, topic: str, token: str) -> None:
        """Publish `canary <token> <clock>` on a topic. Raises Unavailable."""
        await self._redis.run(ECHO, [self._keys.clock], [topic, token, fresh_epoch()])

    async def clock(self) -> Offset | None:
        """Where the total order stands now, or None when nothing was ever published."""
        reply = await self._redis.execute("GET", self._keys.clock)
        return offset_of(reply) if reply else None
