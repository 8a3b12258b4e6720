"""A short cut for what is plainly valid: a tenth of the time that marshmallow takes (5 us, not 50).

Nothing is refused here. Whatever is not plainly valid, even for a reason that the schema would forgive, is
left to `schemas.NOTIFICATION`; what is accepted here is exactly what the schema would have made of it.
tests/ingest/test_fast_path.py holds the two together with random input.
"""

from __future__ import annotations

from typing import Any

from notify.domain.channel import OWN_NAMESPACE_PREFIX
from notify.domain.moments import parsed
from notify.domain.names import (
    category_fault,
    event_name_fault,
    namespace_fault,
    room_name_fault,
    user_id_fault,
)
from notify.domain.notifications.notification import (
    DEFAULT_EVENT,
    DEFAULT_TTL_S,
    Notification,
    Target,
    inbox_fault,
)
from notify.ingest.fields import too_deep, url_fault
from notify.ingest.schemas import (
    MAX_ROOMS,
    MAX_TITLE,
    MAX_TTL_S,
    MAX_USERS,
    NOTIFICATION,
    PRIORITIES,
    collapse_key_fault,
    load,
)

_NOBODY: frozenset[str] = frozenset()


def notification(body: object, *path: str | int) -> Notification:
    """The notification that parsed JSON stands for. Raises Invalid (pointers begin with `path`)."""
    found = plainly(body)
    return load(NOTIFICATION, body, *path) if found is None else found


def plainly(body: object) -> Notification | None:
    """The notification if it is plainly one, else None."""
    if type(body) is not dict:
        return None
    get = body.get
    target = _target(get("to"))
    if target is None:
        return None
    # Every field that is met is counted; fields that are left over in the end are unknown, or null.
    met = 1

    event = get("event")
    if event is None:
        event = DEFAULT_EVENT
    elif event_name_fault(event) is None:
        met += 1
    else:
        return None

    title = get("title")
    if title is not None:
        if type(title) is not str or len(title) > MAX_TITLE:
            return None
        met += 1

    text = get("body")
    if text is not None:
        if type(text) is not str:
            return None
        met += 1

    url = get("url")
    if url is not None:
        if type(url) is not str or url_fault(url) is not None:
            return None
        met += 1

    category = get("category")
    if category is not None:
        if type(category) is not str or category_fault(category) is not None:
            return None
        met += 1

    priority: Any = get("priority")
    if priority is None:
        priority = "normal"
    elif type(priority) is str and priority in PRIORITIES:
        met += 1
    else:
        return None

    data: Any = get("data")
    if data is not None:
        if type(data) is not dict or too_deep(data):
            return None
        met += 1

    ttl_s = get("ttl")
    if ttl_s is None:
        ttl_s = DEFAULT_TTL_S
    elif type(ttl_s) is int and 0 <= ttl_s <= MAX_TTL_S:
        met += 1
    else:
        return None

    namespace = get("namespace")
    if namespace is None:
        namespace = "/"
    elif namespace_fault(namespace) is None and not namespace.startswith(OWN_NAMESPACE_PREFIX):
        met += 1
    else:
        return None

    collapse_key = get("collapse_key")
    if collapse_key is not None:
        if type(collapse_key) is not str or collapse_key_fault(collapse_key) is not None:
            return None
        met += 1

    deliver_at_ms = get("deliver_at")
    if deliver_at_ms is not None:
        deliver_at_ms = parsed(deliver_at_ms)
        if deliver_at_ms is None:
            return None
        met += 1

    inbox = get("inbox")
    if inbox is None:
        inbox = True
    elif type(inbox) is bool:
        if inbox and inbox_fault(target, namespace, title, ttl_s) is not None:
            return None
        met += 1
    else:
        return None

    if met != len(body):
        return None
    return Notification(
        target,
        event,
        namespace,
        title,
        text,
        url,
        category,
        priority,
        data,
        ttl_s,
        collapse_key,
        inbox,
        deliver_at_ms,
    )


def _target(to: object) -> Target | None:
    if type(to) is not dict:
        return None
    get = to.get
    met = 0

    users: tuple[str, ...] = ()
    user = get("user")
    if user is not None:
        if user_id_fault(user) is not None:
            return None
        if len(to) == 1:  # most notifications are for one user
            return Target((user,))
        users = (user,)
        met = 1

    several = get("users")
    if several is not None:
        if type(several) is not list or not 1 <= len(several) <= MAX_USERS:
            return None
        if any(map(user_id_fault, several)):
            return None
        users = tuple(dict.fromkeys((*users, *several)))
        met += 1

    rooms: tuple[str, ...] = ()
    room = get("room")
    if room is not None:
        if room_name_fault(room) is not None:
            return None
        rooms = (room,)
        met += 1

    several = get("rooms")
    if several is not None:
        if type(several) is not list or not 1 <= len(several) <= MAX_ROOMS:
            return None
        if any(map(room_name_fault, several)):
            return None
        rooms = tuple(dict.fromkeys((*rooms, *several)))
        met += 1

    everyone = get("all")
    if everyone is not None:
        if everyone is not True:
            return None
        met += 1

    if not met:
        return None
    except_users = _NOBODY
    several = get("except_users")
    if several is not None:
        if type(several) is not list or len(several) > MAX_USERS or any(map(user_id_fault, several)):
            return None
        except_users = frozenset(several)
        met += 1
    if met != len(to):
        return None
    return Target(users, rooms, everyone is True, except_users)
