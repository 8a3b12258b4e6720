"""What calls return. All of it is frozen; members that a newer server adds are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from notify_client.errors import NotifyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The server holds the notification."""

    id: str
    status: str
    """`accepted`; or `scheduled`, when it has a `deliver_at`."""
    created_at: datetime
    expires_at: datetime | None
    """None for an ephemeral one (`ttl` 0)."""
    idempotency_key: str
    """The key that it was sent with: yours, or the one that was made for it."""
    replayed: bool
    """True when an earlier request with this key had made it already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one notification of `send_many`."""

    index: int
    """Its place in the list that was sent, from 0."""
    id: str | None
    """Its id, when the server holds it."""
    error: NotifyError | None
    """Why not, otherwise. `error.retryable` says whether sending it again may help."""

    @property
    def accepted(self) -> bool:
        """True when the server holds it."""
        return self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification as the server knows it, and how far it has come."""

    id: str
    status: str
    """`scheduled`, `accepted`, `retracted` or `expired`."""
    title: str | None
    body: str | None
    url: str | None
    category: str | None
    priority: str | None
    data: Mapping[str, Any] | None
    created_at: datetime | None
    expires_at: datetime | None
    deliver_at: datetime | None
    recipients: int
    """How many users it was for when it was accepted."""
    delivered: int
    """How many of them have it on a device, as their clients say; likewise the next three."""
    seen: int
    read: int
    archived: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of an inbox, archived and snoozed entries left out."""

    unseen: int
    unread: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One notification in somebody's inbox. Times are None until it happens."""

    id: str
    place: int
    """The order of the list, newest first."""
    title: str | None
    body: str | None
    url: str | None
    category: str | None
    priority: str | None
    data: Mapping[str, Any] | None
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    snoozed_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of an inbox."""

    data: tuple[Entry, ...]
    next: str | None
    """What to give as `after` for the page that follows; None after the last."""
    rev: int
    """Of two answers the one with the higher `rev` is the newer."""
    counts: Counts
    categories: Mapping[str, Counts]
    """Counts for each category, when they were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What a mark did."""

    changed: int
    missing: tuple[str, ...]
    """Ids that are not in this inbox."""
    rev: int
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection of a user in one namespace."""

    sid: str
    namespace: str
    node: str
    transport: str
    """`websocket` or `polling`."""
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Where a user is connected now, over all nodes."""

    online: bool
    connections: tuple[Connection, ...]
    last_seen: datetime | None
    """When the last connection ended, of a user who is not online; None when it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """What a disconnect did."""

    disconnected: int
    revoked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room, over all nodes."""

    room: str
    namespace: str
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A user in a room: after `add`, how many of their connections are in it; after `remove`, were."""

    room: str
    user: str
    connections: int


MarkAs = Literal[
    "delivered", "seen", "read", "unread", "archived", "unarchived", "snoozed", "unsnoozed", "deleted"
]
InboxStatus = Literal["all", "unseen", "unread", "read", "archived", "snoozed"]
