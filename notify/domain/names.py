"""The rules for names that people give: user ids, rooms, patterns of rooms, events, namespaces.

Each function takes anything and returns None when it is a good name, else what is wrong with it, as the end
of a sentence that the caller begins ("`sub` must be a string", "`user` must be 1 to 256 characters long").
Reasons never repeat the value, so they can be logged and answered.

No name holds a control character (they break log lines and protocols) or half of a surrogate pair (JSON can
write one, UTF-8 cannot).
"""

from __future__ import annotations

import re
from typing import Final

from notify.domain.channel import OWN_NAMESPACE_PREFIX
from notify.domain.notifications.notification import RESERVED_EVENTS

MAX_NAME: Final = 256
"""Characters (not bytes) in a user id, a room name or a pattern."""
MAX_NAMESPACE: Final = len(OWN_NAMESPACE_PREFIX) + MAX_NAME
"""So that every user id fits into the name of its own namespace."""
MAX_EVENT_NAME: Final = 128
MAX_CATEGORY: Final = 128

_BAD = "\x00-\x1f\x7f-\x9f\ud800-\udfff"
_GOOD_NAME = re.compile(f"[^{_BAD}]{{1,{MAX_NAME}}}")
_GOOD_ROOM = re.compile(f"(?!@)[^{_BAD}]{{1,{MAX_NAME}}}(?<!\\*)")
_GOOD_EVENT = re.compile(f"[^{_BAD}]{{1,{MAX_EVENT_NAME}}}")
_GOOD_CATEGORY = re.compile(f"[^{_BAD}]{{1,{MAX_CATEGORY}}}")
_GOOD_NAMESPACE = re.compile(f"/[^,?\\s{_BAD}]{{0,{MAX_NAMESPACE - 1}}}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def user_id_fault(value: object) -> str | None:
    """A user id: 1 to 256 characters. An id with a comma, `?` or space in it has no own namespace."""
    if isinstance(value, str) and _GOOD_NAME.fullmatch(value):
        return None
    return _fault(value, MAX_NAME)


def room_name_fault(value: object) -> str | None:
    """A room: 1 to 256 characters, no `@` in front (those are ours), no `*` at the end (a pattern)."""
    if isinstance(value, str) and _GOOD_ROOM.fullmatch(value):
        return None
    return _fault(value, MAX_NAME) or (
        "must not begin with `@`"
        if str(value).startswith("@")
        else "must not end with `*`: it names one room, not a pattern"
    )


def room_pattern_fault(value: object) -> str | None:
    """A pattern of rooms (see `permissions.allows`): a room name, or a beginning of one and a final `*`."""
    if isinstance(value, str) and _GOOD_NAME.fullmatch(value) and not value.startswith("@"):
        return None
    return _fault(value, MAX_NAME) or "must not begin with `@`"


def send_pattern_fault(value: object) -> str | None:
    """Whom may be sent to (`permissions.may_send`): `user:<id>`, `room:<room>`, a room; `*` at the end."""
    if isinstance(value, str):
        kind, colon, name = value.partition(":")
        if colon and kind in ("user", "room"):
            return user_id_fault(name) if kind == "user" else room_pattern_fault(name)
    return room_pattern_fault(value)


def event_name_fault(value: object) -> str | None:
    """The name of an event that is posted or sent: 1 to 128 characters, none of `RESERVED_EVENTS`."""
    if isinstance(value, str) and _GOOD_EVENT.fullmatch(value):
        return "is reserved" if value in RESERVED_EVENTS else None
    return _fault(value, MAX_EVENT_NAME)


def category_fault(value: object) -> str | None:
    """A category, that is posted or asked for: 1 to 128 characters."""
    if isinstance(value, str) and _GOOD_CATEGORY.fullmatch(value):
        return None
    return _fault(value, MAX_CATEGORY)


def namespace_fault(value: object) -> str | None:
    """A Socket.IO namespace: `/` and up to 262 characters, none of them a comma, `?` or whitespace.

    A comma ends the namespace in a packet, and clients cut it off at `?` (Socket.IO protocol v5).
    """
    if isinstance(value, str) and _GOOD_NAMESPACE.fullmatch(value):
        return "must continue with a user's id" if value == OWN_NAMESPACE_PREFIX else None
    fault = _fault(value, MAX_NAMESPACE)
    if fault is None:
        fault = (
            "must not contain a comma, `?` or whitespace"
            if str(value).startswith("/")
            else "must begin with `/`"
        )
    return fault


def _fault(value: object, longest: int) -> str | None:
    """What every kind of name must be. Called only for names that failed the fast check."""
    if not isinstance(value, str):
        return "must be a string"
    if not 1 <= len(value) <= longest:
        return f"must be 1 to {longest} characters long"
    if _CONTROL.search(value):
        return "must not contain control characters"
    if _SURROGATE.search(value):
        return "must not contain half a surrogate pair"
    return None
