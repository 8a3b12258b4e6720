"""What a backend posts, and the answer that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from notify.domain.channel import Channel, owner_of

Priority = Literal["low", "normal", "high", "urgent"]

DEFAULT_EVENT = "notification"
DEFAULT_TTL_S = 30 * 24 * 3600
MAX_AHEAD_MS = 30 * 24 * 3600 * 1000
"""How far ahead a notification may be scheduled."""

RESERVED_EVENTS = frozenset(
    {
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "session:ready",
        "session:expiring",
        "session:refresh",
        "inbox:changed",
        "inbox:list",
        "inbox:mark",
        "notification:removed",
        "room:join",
        "room:leave",
        "send",
        "*",  # python-socketio: the handler of all events that have none
        "__disconnect_final",  # python-socketio's client, to itself
    }
)
"""Names with a meaning of their own, in Socket.IO's clients or here: nobody may post or send them."""


class Target(NamedTuple):
    """Whom a notification is for. At least one of the first three is not empty."""

    users: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    all: bool = False
    except_users: frozenset[str] = frozenset()

    def channels(self, namespace: str) -> tuple[Channel, ...]:
        """The channels of this target, each once, in a stable order.

        In a user's own namespace there is one channel only, its `all`.
        """
        if len(self.users) == 1 and not self.rooms and not self.all and namespace == "/":
            return (Channel(namespace, "user", self.users[0]),)  # nearly all of them
        if owner_of(namespace) is not None:
            mine = self.all or owner_of(namespace) in self.users
            return (Channel(namespace, "all"),) if mine else ()
        found = [Channel(namespace, "user", user) for user in self.users]
        found += [Channel(namespace, "room", room) for room in self.rooms]
        if self.all:
            found.append(Channel(namespace, "all"))
        return tuple(dict.fromkeys(found))

    @property
    def size(self) -> int:
        """How many users, rooms and `all` it names: the copies that are written of a notification."""
        return len(self.users) + len(self.rooms) + self.all

    @property
    def kind(self) -> str:
        """What sort of target this is, for counting: user, users, room, rooms, all or mixed."""
        if self.overlaps and (self.users or self.all):
            return "mixed"
        if self.all:
            return "all"
        if self.users:
            return "user" if len(self.users) == 1 else "users"
        return "room" if len(self.rooms) == 1 else "rooms"

    @property
    def overlaps(self) -> bool:
        """True when one socket may be in two of the channels: then they must share one offset."""
        return len(self.rooms) + self.all + bool(self.users) > 1


def inbox_fault(target: Target, namespace: str, title: str | None, ttl_s: int) -> str | None:
    """Why a notification enters no inbox, as the end of a sentence; None when it does enter one."""
    if not target.users:
        return "needs a user in the target: rooms and all have no inbox"
    if namespace != "/":
        return "needs the namespace /: no other has inboxes"
    if not title:
        return "needs a title"
    if not ttl_s:
        return "needs a ttl above 0: an ephemeral notification is not stored"
    if target.except_users.issuperset(target.users):
        return "needs a user in the target who is not in except_users"
    return None


# Tuples, since each of them is made once a POST: a frozen dataclass takes 4 us to fill with so many fields.
class Notification(NamedTuple):
    """One notification as posted. `ttl_s` 0 is ephemeral: now or never, in no log and no inbox."""

    target: Target
    event: str = DEFAULT_EVENT
    namespace: str = "/"
    title: str | None = None
    body: str | None = None
    url: str | None = None
    category: str | None = None
    priority: Priority = "normal"
    data: Mapping[str, Any] | None = None
    ttl_s: int = DEFAULT_TTL_S
    collapse_key: str | None = None
    """Takes the place of an inbox's older entry with the same key."""
    inbox: bool = True
    """False keeps it out of every inbox."""
    deliver_at_ms: int | None = None
    """When it is to be delivered (unix ms); None, or a time that has passed, is now."""

    @property
    def enters_inboxes(self) -> bool:
        """True when the users of the target find it in their inboxes."""
        return self.inbox and inbox_fault(self.target, self.namespace, self.title, self.ttl_s) is None


class Accepted(NamedTuple):
    """Redis has it. `replayed` is True when an earlier request with the same key was answered so."""

    id: str
    created_ms: int
    expires_ms: int | None
    """None for an ephemeral one. Both in unix ms."""
    replayed: bool = False
    deliver_ms: int | None = None
    """When it is going to be delivered, in unix ms: all else counts from then. None for at once."""

    @property
    def status(self) -> Literal["accepted", "scheduled"]:
        """What the answer says of it."""
        return "accepted" if self.deliver_ms is None else "scheduled"
