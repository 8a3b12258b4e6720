"""What recovery needs to know of one connection in one namespace, kept in Redis while it may come back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from notify.domain.inbox import Counts, Snapshot
from notify.domain.offset import Offset
from notify.redis import scripts
from notify.redis.client import Redis
from notify.redis.commands import Argument
from notify.store.clock import fresh_epoch, offset_of
from notify.store.keys import Keys
from notify.store.log import Claim
from notify.store.orders import Orders, room_field
from notify.store.session import Session

OPEN = scripts.load(__package__, "session_open", preamble="inbox")
OWN = scripts.load(__package__, "session_save")
ORDER = scripts.load(__package__, "order", preamble="inbox")
SEEN_TTL_S = 30 * 24 * 3600
REVOCATION_TTL_S = 400 * 24 * 3600
"""How long a revocation is kept: nobody issues tokens that live longer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A session that somebody asks for, the orders about its user, and both as they were read."""

    session: Session
    orders: Orders
    stored: bytes
    stored_orders: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for a user: tokens issued before `revoked_before` (unix s) are worth nothing, and orders."""

    revoked_before: int
    orders: Orders


class Opening(NamedTuple):
    """A session that is to begin; none is kept without a pid. `issued_at` is its token's, in unix seconds."""

    pid: str | None
    session: Session
    issued_at: int
    with_inbox: bool


class Opened(NamedTuple):
    """How a session began: None for a `start` says that the user's tokens of that age were revoked.

    If the `due_ms` of the inbox's snapshot has passed, it is not exact.
    """

    start: Offset | None
    inbox: Snapshot | None = None


class Sessions:
    """Sessions are written when they change, not when they end, so that none is lost with a killed node."""

    def __init__(self, redis: Redis, keys: Keys, *, window_s: int, refresh_s: int) -> None:
        self._redis = redis
        self._keys = keys
        self.window_s = window_s
        self.ttl_s = window_s + refresh_s
        """While connected: one refresh may just have been missed when the node dies."""

    async def open(self, openings: Sequence[Opening]) -> list[Opened]:
        """Begin sessions, all at one moment and in one call; of each what came of it, in their order.

        Raises Unavailable: then none has begun, or nobody knows.
        """
        keys = self._keys
        names = [keys.clock]
        args: list[Argument] = [fresh_epoch()]
        for pid, session, issued_at, with_inbox in openings:
            user = session.user
            names += (
                keys.session(pid or ""),
                keys.revoked(user),
                keys.revoked_by_name(user),
                keys.inbox(user),
            )
            args += (issued_at, self.ttl_s if pid else 0, session.encode(), int(with_inbox))
        start, *answers = await self._redis.run(OPEN, names, args)
        begun = offset_of(start)
        return [_opened(begun, answer) for answer in answers]

    async def read(self, wanted: Sequence[tuple[str, str]]) -> list[Found | None]:
        """Sessions by (pid, user), each with what was ordered about that user, or None when it is over.

        Raises Unavailable.
        """
        keys = self._keys
        names: list[str] = []
        for pid, user in wanted:
            names += (keys.session(pid), keys.orders(user))
        values = await self._redis.execute("MGET", *names)
        return [_found(stored, orders) for stored, orders in zip(values[0::2], values[1::2], strict=True)]

    async def save(self, pid: str, session: Session) -> bool:
        """Write a session whose rooms have changed. False, and nothing is written, when another connection
        has it by now. Raises Unavailable.
        """
        return bool(
            await self._redis.run(
                OWN, [self._keys.session(pid)], [session.node, session.socket, self.ttl_s, session.line()]
            )
        )

    async def move(self, pid: str, session: Session, *, former_node: str, over: bool = False) -> bool:
        """Write a session that has come from another node, with its connection; end it with `over`.

        False, and nothing is written, when another connection has it by now. Raises Unavailable.
        """
        line = b"" if over else session.line()
        return bool(
            await self._redis.run(
                OWN, [self._keys.session(pid)], [former_node, session.socket, self.ttl_s, line]
            )
        )

    async def restore(self, pid: str, session: Session) -> None:
        """Write a session that Redis has lost, unless it has one by that name again. Raises Unavailable."""
        await self._redis.execute("SET", self._keys.session(pid), session.line(), "EX", self.ttl_s, "NX")

    def close(self, pid: str, session: Session) -> None:
        """The connection was ended on purpose: no recovery. A session that has moved on is left alone."""
        # EVAL, because nobody is there to answer a NOSCRIPT
        self._redis.post(
            "EVAL", OWN.text, 1, self._keys.session(pid), session.node, session.socket, self.ttl_s, ""
        )

    def leave(self, pid: str) -> None:
        """The transport is gone: from now on the recovery window runs."""
        self._redis.post("EXPIRE", self._keys.session(pid), self.window_s)

    def seen(self, user: str, at: int) -> None:
        """A user's connection has ended (unix seconds)."""
        self._redis.post("SET", self._keys.seen(user), at, "EX", SEEN_TTL_S)

    async def last_seen(self, user: str) -> int | None:
        """When a user's connection last ended, if that is not too long ago. Raises Unavailable."""
        found = await self._redis.execute("GET", self._keys.seen(user))
        return int(found) if found else None

    def claim(self, pid: str, found: Found, becomes: Session, *, issued_at: int) -> Claim:
        """The claim by which `Log.replay` hands a session on to its new connection."""
        keys = self._keys
        return Claim(
            keys.session(pid),
            (keys.revoked(becomes.user), keys.revoked_by_name(becomes.user)),
            keys.orders(becomes.user),
            issued_at,
            found.stored,
            found.stored_orders,
            becomes.line(),
            self.ttl_s,
        )

    async def keep(self, pids: Sequence[str]) -> list[str]:
        """Keep sessions alive; those that Redis no longer knows are returned. Raises Unavailable."""
        alive = await asyncio.gather(
            *(self._redis.execute("EXPIRE", self._keys.session(pid), self.ttl_s) for pid in pids)
        )
        return [pid for pid, known in zip(pids, alive, strict=True) if not known]

    async def order_away(self, user: str, *, revoke: bool) -> None:
        """Sessions of this user that have begun are over, whoever is there to hear it; with `revoke` their
        tokens issued up to this second, by Redis' clock, are worth nothing either. Raises Unavailable.
        """
        await self._order(user, "revoke" if revoke else "disconnect")

    async def order_out(self, user: str, namespace: str, room: str) -> None:
        """Sessions of this user that are in a room are out of it, at the next recovery at the latest. Raises
        Unavailable.
        """
        await self._order(user, "remove", room_field(namespace, room))

    async def _order(self, user: str, kind: str, room: str = "") -> None:
        keys = self._keys
        await self._redis.run(
            ORDER,
            [keys.clock, keys.orders(user), keys.revoked(user), keys.retention],
            [fresh_epoch(), kind, room, self.ttl_s, REVOCATION_TTL_S],
        )

    async def standing(self, users: Sequence[str]) -> list[Standing]:
        """What holds for each of these users. Raises Unavailable."""
        if not users:
            return []
        keys = self._keys
        names = [
            name
            for user in users
            for name in (keys.revoked(user), keys.revoked_by_name(user), keys.orders(user))
        ]
        found = await self._redis.execute("MGET", *names)
        return [
            Standing(max(int(before or 0), int(by_name or 0)), Orders.decode(orders))
            for before, by_name, orders in zip(found[0::3], found[1::3], found[2::3], strict=True)
        ]

    async def revoked(self, user: str, *, issued_at: int) -> bool:
        """True for a token of this user that was issued before a revocation. Raises Unavailable."""
        keys = self._keys
        found = await self._redis.execute("MGET", keys.revoked(user), keys.revoked_by_name(user))
        return any(before is not None and issued_at < int(before) for before in found)


def _opened(start: Offset, answer: Any) -> Opened:
    if isinstance(answer, int):
        return Opened(start if answer else None)
    rev, unseen, unread, total, due = answer
    return Opened(start, Snapshot(rev, Counts(unseen, unread, total), due or None))


def _found(stored: bytes | None, orders: bytes | None) -> Found | None:
    if stored is None:
        return None
    try:
        session = Session.decode(stored)
    except ValueError:
        return None
    return Found(session, Orders.decode(orders), stored, orders or b"")
