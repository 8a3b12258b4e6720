"""What is sent: the shape of a notification, and how it becomes JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Required, TypedDict

from notify_client.errors import FieldError, Invalid


class Target(TypedDict, total=False):
    """Whom it is for. At least one of the first five; they may be mixed, and nobody gets it twice."""

    user: str
    users: Sequence[str]
    room: str
    rooms: Sequence[str]
    all: Literal[True]
    except_users: Sequence[str]


class Message(TypedDict, total=False):
    """A notification to be sent. Only `to` is required."""

    to: Required[Target]
    event: str
    """The Socket.IO event that clients listen for; `notification` unless it says otherwise."""
    title: str
    body: str
    url: str
    """An `http(s)://` URL or a relative path."""
    category: str
    priority: Literal["low", "normal", "high", "urgent"]
    data: Mapping[str, Any]
    ttl: int
    """Seconds; 0 is ephemeral: now or never."""
    inbox: bool
    collapse_key: str
    """The newer one takes the place of the older one with the same key."""
    deliver_at: datetime | str
    """A datetime with a time zone, or RFC 3339."""
    namespace: str


def encoded(message: Mapping[str, Any]) -> bytes:
    """The notification as JSON. Raises Invalid for what JSON cannot say.

    Encoded once, before the first attempt: a retry must carry the very same bytes, or its idempotency key
    would be refused.
    """
    return _json({name: _moment(value) if name == "deliver_at" else value for name, value in message.items()})


def members(**given: Any) -> bytes:
    """An object of those members that are given (not None), as JSON. Raises Invalid."""
    return _json({name: _moment(value) for name, value in given.items() if value is not None})


def _moment(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise Invalid(
            "A time must say its zone: datetime.now(UTC), not datetime.now()",
            errors=[FieldError("", "has a time without a zone")],
        )
    return value.isoformat()


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(
            f"This cannot be sent as JSON: {error}", errors=[FieldError("", "cannot be sent as JSON")]
        ) from error
