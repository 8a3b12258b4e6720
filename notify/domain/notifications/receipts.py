"""A notification after it was accepted: how it stands, and how far it has come."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from notify.domain.inbox import State

NotificationStatus = Literal["scheduled", "accepted", "retracted", "expired"]

MAX_RECIPIENTS_LISTED = 1000
"""Recipients that one page may hold."""
DEFAULT_RECIPIENTS_LISTED = 100


@dataclass(frozen=True, slots=True)
class Receipts:
    """How many inboxes that have a notification say this of it. What clients mark is their own claim."""

    delivered: int = 0
    seen: int = 0
    read: int = 0
    archived: int = 0

    @classmethod
    def of(cls, states: Iterable[State | None]) -> Receipts:
        """Counted from the states of all who have it; None is somebody who has it no more."""
        found = [state for state in states if state is not None]
        return cls(
            sum(state.delivered or state.seen_at_ms is not None for state in found),
            sum(state.seen_at_ms is not None for state in found),
            sum(state.read_at_ms is not None for state in found),
            sum(state.archived_at_ms is not None for state in found),
        )


@dataclass(frozen=True, slots=True)
class Recipient:
    """One user whose inbox has it."""

    user: str
    state: State


@dataclass(frozen=True, slots=True)
class Standing:
    """How a notification stands. Times are unix ms.

    `recipients` are the users it was for when it was accepted; `holders` those whose inboxes may have it
    still, sorted. `shown` is the notification as clients get it, empty once nobody has it any more.
    """

    id: str
    status: NotificationStatus
    created_ms: int
    expires_ms: int | None
    recipients: int
    holders: Sequence[str] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecipientPage:
    """Some of the recipients, by name. `next` is the last of them when there are more."""

    recipients: tuple[Recipient, ...]
    next: str | None


def page_of(
    holders: Sequence[str], states: Sequence[State | None], *, after: str | None, limit: int
) -> RecipientPage:
    """The page of `holders`, which are sorted, behind the name `after`; who has it no more is left out."""
    begin = 0 if after is None else bisect_right(holders, after)
    found: list[Recipient] = []
    for index in range(begin, len(holders)):
        state = states[index]
        if state is None:
            continue
        if len(found) == limit:
            return RecipientPage(tuple(found), found[-1].user)
        found.append(Recipient(holders[index], state))
    return RecipientPage(tuple(found), None)


def cursor(name: str | None) -> str | None:
    """A name as `next` shows it: unreserved URL characters."""
    return None if name is None else base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def parse_cursor(text: str) -> str | None:
    """The name that `after` stands for; None when it is none."""
    try:
        name = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return name if cursor(name) == text else None
