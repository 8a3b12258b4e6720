"""What recovery needs to know of one connection in one namespace, kept in Redis while it may come back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from notify.domain.channel import Channel
from notify.domain.errors import TokenRevoked
from notify.domain.offset import Offset
from notify.store import scripts
from notify.store.connection import Redis
from notify.store.keys import Keys
from notify.store.log import Claim, fresh_epoch, offset_of

OPEN = scripts.load("open")
OWN = scripts.load("own")
SEEN_TTL_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Session:
    """`start` is the offset from which the connection is owed everything.

    `rooms` holds the rooms joined, each with the place from which it is owed that room's messages, empty for
    the start; `granted` are those that a backend put it in, whatever its token says. `node` and `socket`
    say which connection has it now.
    """

    sid: str
    user: str
    namespace: str
    node: str
    socket: str
    rooms: Mapping[str, str] = field(default_factory=dict)
    granted: tuple[str, ...] = ()
    start: Offset | None = None

    def encode(self) -> bytes:
        """As it stands in Redis below its first line, the start offset."""
        return orjson.dumps(
            [self.sid, self.user, self.namespace, self.node, self.socket, self.rooms, self.granted]
        )

    def line(self) -> bytes:
        """As it stands in Redis."""
        return f"{self.start}\n".encode() + self.encode()

    @classmethod
    def decode(cls, stored: bytes) -> Session:
        """The inverse of `line`. Raises ValueError when it is not one."""
        start, _, rest = stored.partition(b"\n")
        sid, user, namespace, node, socket, rooms, granted = orjson.loads(rest)
        return cls(sid, user, namespace, node, socket, rooms, tuple(granted), Offset.parse(start.decode()))

    def place(self, channel: Channel, reached: Offset) -> Offset:
        """From where this session is owed a channel's messages, having seen everything up to `reached`."""
        joined = self.rooms.get(channel.name, "") if channel.kind == "room" else ""
        ms, _, seq = joined.partition("-")
        since = Offset(reached.epoch, int(ms), int(seq)) if joined else reached
        return since if since.follows(reached) else reached


class Sessions:
    """Written when they change, not when they end, so that a killed node takes none with it."""

    def __init__(self, redis: Redis, keys: Keys, *, window_s: int, refresh_s: int) -> None:
        self._redis = redis
        self._keys = keys
        self.window_s = window_s
        self.ttl_s = window_s + refresh_s
        """While connected: one refresh may just have been missed when the node dies."""

    async def open(self, pid: str | None, session: Session, *, issued_at: int) -> Offset:
        """Begin a session (none is kept without a pid); its start offset.

        Raises TokenRevoked when the user's tokens of that age were revoked, Unavailable.
        """
        keys = self._keys
        reply = await self._redis.run(
            OPEN,
            [keys.session(pid or ""), keys.clock, keys.revoked(session.user)],
            [fresh_epoch(), issued_at, self.ttl_s if pid else 0, session.encode()],
        )
        if not reply:
            raise TokenRevoked("This token was revoked; ask for a new one")
        return offset_of(reply)

    async def read(self, pid: str) -> tuple[Session, bytes] | None:
        """A session and the bytes it was read from, or None when it is over. Raises Unavailable."""
        stored = await self._redis.execute("GET", self._keys.session(pid))
        if stored is None:
            return None
        try:
            return Session.decode(stored), stored
        except (ValueError, TypeError):
            return None

    async def save(self, pid: str, session: Session) -> bool:
        """Write a session whose rooms have changed. False, and nothing is written, when another connection
        has it by now. Raises Unavailable.
        """
        return bool(
            await self._redis.run(
                OWN, [self._keys.session(pid)], [session.node, session.socket, self.ttl_s, session.line()]
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

    def claim(self, pid: str, was: bytes, session: Session, *, issued_at: int) -> Claim:
        """The claim by which `Log.replay` hands a session on to its new connection."""
        keys = self._keys
        return Claim(
            keys.session(pid), keys.revoked(session.user), issued_at, was, session.line(), self.ttl_s
        )

    async def keep(self, pids: Sequence[str]) -> list[str]:
        """Keep sessions alive; those that Redis no longer knows are returned. Raises Unavailable."""
        alive = await asyncio.gather(
            *(self._redis.execute("EXPIRE", self._keys.session(pid), self.ttl_s) for pid in pids)
        )
        return [pid for pid, known in zip(pids, alive, strict=True) if not known]

    async def revoke(self, user: str, *, before: int, ttl_s: int) -> None:
        """From now on tokens of this user issued before `before` (unix s) are worth nothing."""
        await self._redis.execute("SET", self._keys.revoked(user), before, "EX", ttl_s)

    async def revoked(self, user: str, *, issued_at: int) -> bool:
        """True for a token of this user that was issued before a revocation. Raises Unavailable."""
        before = await self._redis.execute("GET", self._keys.revoked(user))
        return before is not None and issued_at < int(before)
