"""Answers from JSON. Whatever is missing or of the wrong type makes the answer Unexpected, not a KeyError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from notify_client.answers import (
    Connection,
    Counts,
    Disconnected,
    Entry,
    Marked,
    Membership,
    Notification,
    Page,
    Presence,
    Room,
    Sent,
)
from notify_client.errors import Unexpected
from notify_client.exchange import HINT, Reply

T = TypeVar("T")
Document = Mapping[str, Any]


def understood(reply: Reply, read: Callable[[Document], T]) -> T:
    """What `read` makes of the reply. Raises Unexpected."""
    document = reply.document()
    try:
        return read(document)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unexpected(
            f"The answer is {reply.status}, but not as notify gives it: {HINT}",
            status=reply.status,
            request_id=reply.headers.get("x-request-id"),
        ) from error


def sent(reply: Reply, idempotency_key: str) -> Sent:
    """The answer to a POST."""
    return understood(
        reply,
        lambda found: Sent(
            id=_text(found["id"]),
            status=_text(found["status"]),
            created_at=_moment(found["created_at"]),
            expires_at=_moment_or_none(found.get("expires_at")),
            idempotency_key=idempotency_key,
            replayed=reply.headers.get("idempotent-replayed") == "true",
        ),
    )


def notification(found: Document) -> Notification:
    """The answer to `GET /v1/notifications/{id}`."""
    return Notification(
        id=_text(found["id"]),
        status=_text(found["status"]),
        **_content(found),
        created_at=_moment_or_none(found.get("created_at")),
        expires_at=_moment_or_none(found.get("expires_at")),
        deliver_at=_moment_or_none(found.get("deliver_at")),
        recipients=_whole(found["recipients"]),
        delivered=_whole(found.get("delivered", 0)),
        seen=_whole(found.get("seen", 0)),
        read=_whole(found.get("read", 0)),
        archived=_whole(found.get("archived", 0)),
    )


def page(found: Document) -> Page:
    """A page of an inbox."""
    return Page(
        data=tuple(_entry(each) for each in found["data"]),
        next=_text_or_none(found["next"]),
        rev=_whole(found["rev"]),
        counts=_counts(found["counts"]),
        categories={name: _counts(each) for name, each in (found.get("categories") or {}).items()},
    )


def marked(found: Document) -> Marked:
    """The answer to a mark."""
    return Marked(
        changed=_whole(found["changed"]),
        missing=tuple(_text(each) for each in found.get("missing", ())),
        rev=_whole(found["rev"]),
        counts=_counts(found["counts"]),
    )


def presence(found: Document) -> Presence:
    """Where a user is."""
    return Presence(
        online=_flag(found["online"]),
        connections=tuple(
            Connection(
                sid=_text(each["sid"]),
                namespace=_text(each["namespace"]),
                node=_text(each["node"]),
                transport=_text(each["transport"]),
                since=_moment(each["since"]),
            )
            for each in found["connections"]
        ),
        last_seen=_moment_or_none(found.get("last_seen")),
    )


def disconnected(found: Document) -> Disconnected:
    """What a disconnect did."""
    return Disconnected(disconnected=_whole(found["disconnected"]), revoked=_flag(found["revoked"]))


def room(found: Document) -> Room:
    """A room's size."""
    return Room(
        room=_text(found["room"]),
        namespace=_text(found["namespace"]),
        connections=_whole(found["connections"]),
    )


def membership(found: Document) -> Membership:
    """A user in a room."""
    return Membership(
        room=_text(found["room"]), user=_text(found["user"]), connections=_whole(found["connections"])
    )


def _entry(found: Document) -> Entry:
    return Entry(
        id=_text(found["id"]),
        place=_whole(found["place"]),
        **_content(found),
        created_at=_moment(found["created_at"]),
        expires_at=_moment_or_none(found.get("expires_at")),
        seen_at=_moment_or_none(found.get("seen_at")),
        read_at=_moment_or_none(found.get("read_at")),
        archived_at=_moment_or_none(found.get("archived_at")),
        snoozed_until=_moment_or_none(found.get("snoozed_until")),
    )


def _content(found: Document) -> dict[str, Any]:
    data = found.get("data")
    if data is not None and not isinstance(data, dict):
        raise TypeError("data is no object")
    texts = {
        name: _text_or_none(found.get(name)) for name in ("title", "body", "url", "category", "priority")
    }
    return {**texts, "data": data}


def _counts(found: Document) -> Counts:
    return Counts(
        unseen=_whole(found["unseen"]), unread=_whole(found["unread"]), total=_whole(found["total"])
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("no whole number")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _moment(value: object) -> datetime:
    return datetime.fromisoformat(_text(value))


def _moment_or_none(value: object) -> datetime | None:
    return None if value is None else _moment(value)
