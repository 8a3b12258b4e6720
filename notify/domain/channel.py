"""The address of one stream of notifications."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["user", "room", "all"]

OWN_NAMESPACE_PREFIX = "/users/"
USER_ROOM_PREFIX = "@user/"
"""Room names that begin with `@` are reserved: none can be posted to or joined."""


class Channel(NamedTuple):
    """(namespace, kind, name). `name` is the user's id, the room's name, or empty for `all`."""

    namespace: str
    kind: Kind
    name: str = ""

    @property
    def address(self) -> str:
        """The channel as one string, as it stands in Redis keys and pub/sub channels.

        The namespace is escaped and the name comes last, so no two channels share an address.
        """
        namespace, kind, name = self
        if namespace == "/":  # nearly all of them
            return f"{kind}:/:{name}"
        return f"{kind}:{namespace.replace('%', '%25').replace(':', '%3A')}:{name}"

    @property
    def room(self) -> str | None:
        """The channel as python-socketio names it: None is the whole namespace."""
        if self.kind == "user":
            return USER_ROOM_PREFIX + self.name
        return self.name if self.kind == "room" else None

    @classmethod
    def of_room(cls, namespace: str, room: str | None) -> Channel:
        """The inverse of `room`."""
        if room is None:
            return cls(namespace, "all")
        if room.startswith(USER_ROOM_PREFIX):
            return cls(namespace, "user", room[len(USER_ROOM_PREFIX) :])
        return cls(namespace, "room", room)

    @classmethod
    def parse(cls, address: str) -> Channel:
        """The inverse of `address`. Raises ValueError when it is not one."""
        kind, namespace, name = address.split(":", 2)
        named = kind in ("user", "room") and name != ""
        if not (named or (kind == "all" and name == "")) or not namespace.startswith("/"):
            raise ValueError(f"not a channel address: {address!r}")
        return cls(namespace.replace("%3A", ":").replace("%25", "%"), kind, name)  # type: ignore[arg-type]


def owner_of(namespace: str) -> str | None:
    """The user whose own namespace this is, or None."""
    return namespace[len(OWN_NAMESPACE_PREFIX) :] if namespace.startswith(OWN_NAMESPACE_PREFIX) else None
