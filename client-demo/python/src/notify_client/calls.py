"""Every call as an Operation: what is asked, how it is tried, how the answer is read."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from notify_client import batches, reading
from notify_client.answers import (
    Disconnected,
    InboxStatus,
    MarkAs,
    Marked,
    Membership,
    Notification,
    Outcome,
    Page,
    Presence,
    Room,
    Sent,
)
from notify_client.errors import FieldError, Invalid
from notify_client.exchange import Operation, Reply, Request
from notify_client.message import Message, encoded, members
from notify_client.retries import Policy, exchange


class Calls:
    """The calls of one client. Each returns a generator that has not begun."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def send(self, message: Message, key: str | None) -> Operation[Sent]:
        """POST /v1/notifications."""
        key = _key(key)
        request = Request(
            name="send",
            method="POST",
            path="/v1/notifications",
            body=encoded(message),
            headers={"Idempotency-Key": key},
        )
        reply = yield from exchange(request, self._policy)
        return reading.sent(reply, key)

    def send_many(self, messages: Iterable[Message], key: str | None) -> Operation[list[Outcome]]:
        """POST /v1/notifications/batch, as often as it takes."""
        return (yield from batches.send_many(messages, _key(key), self._policy))

    def get(self, notification_id: str) -> Operation[Notification]:
        """GET /v1/notifications/{id}."""
        path = "/v1/notifications/" + _segment(notification_id, "notification id")
        reply = yield from self._exchange("get", "GET", path)
        return reading.understood(reply, reading.notification)

    def retract(self, notification_id: str) -> Operation[None]:
        """DELETE /v1/notifications/{id}."""
        path = "/v1/notifications/" + _segment(notification_id, "notification id")
        yield from self._exchange("retract", "DELETE", path)

    def inbox_list(
        self,
        user: str,
        limit: int | None,
        after: str | None,
        status: InboxStatus | None,
        category: str | Iterable[str] | None,
        by: str | None,
    ) -> Operation[Page]:
        """GET /v1/users/{id}/inbox."""
        categories = [category] if isinstance(category, str) else list(category or ())
        query: list[tuple[str, Any]] = [("limit", limit), ("after", after), ("status", status), ("by", by)]
        query += [("category", each) for each in categories]
        reply = yield from self._exchange("inbox.list", "GET", _user(user) + "/inbox" + _query(query))
        return reading.understood(reply, reading.page)

    def inbox_mark(
        self,
        user: str,
        mark: MarkAs,
        ids: Iterable[str] | None,
        up_to: str | int | None,
        category: str | None,
        until: datetime | str | None,
    ) -> Operation[Marked]:
        """POST /v1/users/{id}/inbox/mark."""
        body = members(
            **{"as": mark},
            ids=None if ids is None else [ids] if isinstance(ids, str) else list(ids),
            up_to=up_to,
            category=category,
            until=until,
        )
        reply = yield from self._exchange("inbox.mark", "POST", _user(user) + "/inbox/mark", body)
        return reading.understood(reply, reading.marked)

    def presence(self, user: str) -> Operation[Presence]:
        """GET /v1/users/{id}/presence."""
        reply = yield from self._exchange("presence", "GET", _user(user) + "/presence")
        return reading.understood(reply, reading.presence)

    def disconnect(self, user: str, revoke: bool) -> Operation[Disconnected]:
        """POST /v1/users/{id}/disconnect."""
        body = members(revoke=revoke)
        reply = yield from self._exchange("disconnect", "POST", _user(user) + "/disconnect", body)
        return reading.understood(reply, reading.disconnected)

    def erase(self, user: str) -> Operation[None]:
        """DELETE /v1/users/{id}."""
        yield from self._exchange("erase", "DELETE", _user(user))

    def room(self, room: str, namespace: str | None) -> Operation[Room]:
        """GET /v1/rooms/{room}."""
        path = _room(room) + _query([("namespace", namespace)])
        reply = yield from self._exchange("rooms.get", "GET", path)
        return reading.understood(reply, reading.room)

    def room_member(self, method: str, room: str, user: str, namespace: str | None) -> Operation[Membership]:
        """PUT or DELETE /v1/rooms/{room}/users/{id}."""
        path = f"{_room(room)}/users/{_segment(user, 'user')}" + _query([("namespace", namespace)])
        name = "rooms.add" if method == "PUT" else "rooms.remove"
        reply = yield from self._exchange(name, method, path)
        return reading.understood(reply, reading.membership)

    def _exchange(self, name: str, method: str, path: str, body: bytes | None = None) -> Operation[Reply]:
        return exchange(Request(name=name, method=method, path=path, body=body), self._policy)


def _key(given: str | None) -> str:
    """The idempotency key, or a new one: whatever happens on the way, nothing is posted twice."""
    if given is None:
        return f"auto-{secrets.token_hex(16)}"
    if not 1 <= len(given) <= 255 or not all("!" <= each <= "~" for each in given):
        raise Invalid("An idempotency key is 1 to 255 visible ASCII characters, without spaces")
    return given


def _user(user: str) -> str:
    return "/v1/users/" + _segment(user, "user")


def _room(room: str) -> str:
    return "/v1/rooms/" + _segment(room, "room")


def _segment(name: str, what: str) -> str:
    """One segment of a path. What would make it another path is refused here."""
    if not isinstance(name, str):
        raise Invalid(f"The {what} must be a string, not {type(name).__name__}")
    if name in ("", ".", ".."):
        raise Invalid(
            f"The {what} must not be {name!r}", errors=[FieldError("/path", "cannot stand in a URL")]
        )
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        raise Invalid(f"The {what} is no Unicode text") from error


def _query(pairs: Iterable[tuple[str, Any]]) -> str:
    given = [(name, str(value)) for name, value in pairs if value is not None]
    return "?" + urlencode(given, quote_via=quote, safe="") if given else ""
