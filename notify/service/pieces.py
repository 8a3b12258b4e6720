"""The pieces that a notification is published in: each one call of the script, and atomic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from notify.domain.channel import Channel
from notify.domain.errors import Invalid
from notify.domain.message import tail
from notify.domain.moments import timestamp
from notify.domain.notifications.notification import Accepted, Notification
from notify.store.inbox import ToInbox
from notify.store.keys import IDEMPOTENCY_TTL_S
from notify.store.log import Entry
from notify.store.notifications.record import NewRecord

PIECE = 32
"""Users whose logs one script call appends to: Redis is busy with it for 1 to 2 ms."""


@dataclass(frozen=True, slots=True)
class Once:
    """The name under which pieces that are published are remembered, so that none comes twice.

    `prefix` tells apart notifications that share the name.
    """

    id: str
    prefix: str = ""
    remembered_s: int = IDEMPOTENCY_TTL_S


def pieces(accepted: Accepted, notification: Notification, *, once: Once | None, trace: str) -> list[Entry]:
    """The script calls of one notification: a few channels at a time.

    A socket sees it once. Rooms and `all`, of which it may be in several, are published under one offset, and
    with users beside them if all of it is one piece. If it is not, the users come first, and are left out of
    what goes to rooms: by then each of them has a copy. Raises Invalid when it is for nobody.
    """
    channels, recipients = _reached(notification)
    target = notification.target
    array = _array(accepted, notification)
    cuts = _cuts(channels)
    partial = once is not None or len(cuts) > 1
    made: NewRecord | None = None
    if accepted.deliver_ms is not None or accepted.expires_ms is not None:
        made = _record(accepted, notification, channels, recipients, partial=partial)
        if accepted.expires_ms is None:  # what is ephemeral has a record while it is scheduled, and no longer
            made = replace(made, kept=False)
    head = tail(accepted.id, trace, target.except_users)
    entries = []
    for begin, end in cuts:
        piece = channels[begin:end]
        to_rooms = piece[-1].kind != "user"
        served = [channel.name for channel in channels[:begin]] if to_rooms else []
        entries.append(
            Entry(
                piece,
                tail(accepted.id, trace, target.except_users.union(served)) if served else head,
                array,
                overlaps=to_rooms and len(piece) > 1,
                ephemeral=accepted.expires_ms is None,
                expires_ms=accepted.expires_ms or 0,
                once=None if once is None else (once.id, f"{once.prefix}{begin}"),
                remembered_s=IDEMPOTENCY_TTL_S if once is None else once.remembered_s,
                record=made if begin == 0 or recipients or made is None else replace(made, kept=False),
                inbox=_to_inbox(accepted.id, notification, len(recipients), begin, end - begin),
            )
        )
    return entries


def _cuts(channels: Sequence[Channel]) -> list[tuple[int, int]]:
    """Where the pieces begin and end. The users come before rooms and `all`, which are in one piece."""
    count = len(channels)
    if count <= PIECE:
        return [(0, count)]
    users = sum(channel.kind == "user" for channel in channels)
    cuts = [(begin, min(begin + PIECE, users)) for begin in range(0, users, PIECE)]
    return cuts if users == count else [*cuts, (users, count)]


def record_of(accepted: Accepted, notification: Notification) -> bytes:
    """The record that a notification will have, for one that is not published yet. Raises Invalid."""
    channels, recipients = _reached(notification)
    made = _record(accepted, notification, channels, recipients, partial=False)
    owner = recipients[0] if len(recipients) == 1 else ""
    return made.head(owner, accepted.expires_ms or 0) + _array(accepted, notification)


def _reached(notification: Notification) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """The channels that it goes to, and the users whose inboxes it goes into."""
    target = notification.target
    channels = target.channels(notification.namespace)
    if not channels:
        raise Invalid("The target is nobody in this namespace")
    recipients: tuple[str, ...] = ()
    if notification.enters_inboxes:
        recipients = tuple(user for user in target.users if user not in target.except_users)
        if len(recipients) < len(target.users):
            # Those who are left out have nothing to get: their channels are not written to at all.
            channels = tuple(
                channel
                for channel in channels
                if channel.kind != "user" or channel.name not in target.except_users
            )
    return channels, recipients


def _record(
    accepted: Accepted,
    notification: Notification,
    channels: Sequence[Channel],
    recipients: Sequence[str],
    *,
    partial: bool,
) -> NewRecord:
    target = notification.target
    # Whom a retraction has to tell besides the inboxes. Those who were left out saw nothing.
    elsewhere = [
        channel
        for channel in channels[len(recipients) :]
        if channel.kind != "user" or channel.name not in target.except_users
    ]
    return NewRecord(
        accepted.id,
        len(recipients) or len(set(target.users) - target.except_users),
        accepted.created_ms,
        elsewhere,
        partial=partial,
    )


def _to_inbox(
    notification_id: str, notification: Notification, recipients: int, begin: int, size: int
) -> ToInbox | None:
    """What of a piece goes into inboxes: the users come before rooms and `all`."""
    users = min(recipients - begin, size)
    if users <= 0:
        return None
    return ToInbox(notification_id, users, recipients, notification.category, notification.collapse_key)


def _array(accepted: Accepted, notification: Notification) -> bytes:
    """`["notification",{...}`: the end is put on in Redis, where the offset is known."""
    shown: dict[str, Any] = {"id": accepted.id}
    for name in ("title", "body", "url", "category", "collapse_key"):
        value = getattr(notification, name)
        if value is not None:
            shown[name] = value
    shown["priority"] = notification.priority
    if notification.data is not None:
        shown["data"] = notification.data
    shown["created_at"] = timestamp(accepted.created_ms)
    if accepted.deliver_ms is not None:
        shown["deliver_at"] = timestamp(accepted.deliver_ms)
    if accepted.expires_ms is not None:
        shown["expires_at"] = timestamp(accepted.expires_ms)
    return orjson.dumps([notification.event, shown])[:-1]
