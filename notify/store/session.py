"""A session as it stands in Redis: what recovery needs to know of one connection in one namespace.

    <epoch>-<ms>-<seq>\\n{"v":2,"sid":"...","user":"...",...}

The first line is the offset at which it began, which `session_open.lua` puts there; JSON follows, of which
`session_save.lua` reads `node` and `socket`. Version 1 was a list without names in place of the object, and
is understood: nodes of the version before may have written it. A node of that version takes a session of this
one for one that is over, and tells the client so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from notify.domain.channel import Channel
from notify.domain.offset import Offset

VERSION = 2


@dataclass(frozen=True, slots=True)
class Session:
    """`start` is the offset from which the connection is owed everything.

    `rooms` holds the rooms joined, each with the place from which it is owed that room's messages, empty for
    the start; `granted` are those that a backend put it in, whatever its token says; `declined` those that
    its token joins and it is not in: it left them, or was taken out. `node` and `socket` say which connection
    has it now.
    """

    sid: str
    user: str
    namespace: str
    node: str
    socket: str
    rooms: Mapping[str, str] = field(default_factory=dict)
    granted: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    start: Offset | None = None

    def encode(self) -> bytes:
        """As it stands in Redis below its first line."""
        stored: dict[str, object] = {
            "v": VERSION,
            "sid": self.sid,
            "user": self.user,
            "namespace": self.namespace,
            "node": self.node,
            "socket": self.socket,
        }
        # What most sessions do not have costs them nothing.
        optional = {"rooms": self.rooms, "granted": self.granted, "declined": self.declined}
        return orjson.dumps(stored | {name: value for name, value in optional.items() if value})

    def line(self) -> bytes:
        """As it stands in Redis."""
        return f"{self.start}\n".encode() + self.encode()

    @classmethod
    def decode(cls, stored: bytes) -> Session:
        """The inverse of `line`, also for version 1. Raises ValueError when it is neither."""
        start_line, _, rest = stored.partition(b"\n")
        start = Offset.parse(start_line.decode())
        found = orjson.loads(rest)
        try:
            if isinstance(found, list):
                sid, user, namespace, node, socket, rooms, granted = found
                return cls(sid, user, namespace, node, socket, rooms, tuple(granted), start=start)
            if found["v"] != VERSION:
                raise ValueError(f"a session of version {found['v']}")
            return cls(
                found["sid"],
                found["user"],
                found["namespace"],
                found["node"],
                found["socket"],
                found.get("rooms", {}),
                tuple(found.get("granted", ())),
                tuple(found.get("declined", ())),
                start,
            )
        except (KeyError, TypeError) as error:
            raise ValueError("not a session") from error

    def joined_at(self, room: str) -> Offset | None:
        """From where it is owed a room's messages; None when it is not in it, or has not begun."""
        joined, start = self.rooms.get(room), self.start
        if joined is None or start is None or not joined:
            return start if joined is not None else None
        ms, _, seq = joined.partition("-")
        return Offset(start.epoch, int(ms), int(seq))

    def place(self, channel: Channel, reached: Offset) -> Offset:
        """From where this session is owed a channel's messages, having seen everything up to `reached`."""
        since = self.joined_at(channel.name) if channel.kind == "room" else None
        return since if since is not None and since.follows(reached) else reached
