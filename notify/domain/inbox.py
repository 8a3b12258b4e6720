"""A user's inbox: what they find when they come back, and a badge that is right.

Nothing here does I/O. Times are unix ms, and null until they happen. `rev` counts the changes of one inbox;
counts never travel without it. `place` is the `rev` that brought an entry, and the order of the list.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Status = Literal["all", "unseen", "unread", "read", "archived", "snoozed"]
"""Which entries a list holds. `all`, and the three after it, are of what is neither archived nor snoozed."""

MarkAs = Literal[
    "delivered",
    "seen",
    "read",
    "unread",
    "archived",
    "unarchived",
    "snoozed",
    "unsnoozed",
    "deleted",
]
"""What entries can be marked as."""

RemovedBecause = Literal["retracted", "expired", "collapsed", "trimmed", "deleted"]
"""Why an entry left an inbox, as `notification:removed` tells it."""

KnownRev = int | Literal["*"]
"""The `rev` of an answer that a caller has, or `*` when whatever it is will do."""

STATUSES: frozenset[str] = frozenset(get_args(Status))
MARKS: frozenset[str] = frozenset(get_args(MarkAs))

MAX_MARKED = 1000
"""Ids that one mark may name."""
MAX_LISTED = 100
"""Entries that one page may hold."""
DEFAULT_LISTED = 20
PAGE_BYTES = 256 * 1024
"""A page ends when its bodies are larger than this, but holds one entry at least."""

_PLACE = re.compile(r"[1-9][0-9]{0,14}")
_TAG = re.compile(r'"([0-9]{1,15})-([0-9a-f]{16})"')


@dataclass(frozen=True, slots=True)
class Counts:
    """What of the entries that are neither archived nor snoozed is unseen and unread, and all of them."""

    unseen: int = 0
    unread: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What a user has done with an entry, in unix ms. What came back from a snooze has none of it."""

    delivered: bool = False
    seen_at_ms: int | None = None
    read_at_ms: int | None = None
    archived_at_ms: int | None = None
    snoozed_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list. `shown` is the notification as clients get it (`id`, `title`, `created_at` …)."""

    id: str
    place: int
    expires_ms: int
    state: State
    category: str | None
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of an inbox. `after` is the place at which the page before ended."""

    status: Status = "all"
    limit: int = DEFAULT_LISTED
    after: int | None = None
    categories: tuple[str, ...] = ()
    by_category: bool = False

    @property
    def normalised(self) -> Query:
        """The same question in one form, however it was asked."""
        return Query(
            self.status, self.limit, self.after, tuple(sorted(set(self.categories))), self.by_category
        )

    def etag(self, rev: int) -> str:
        """A strong validator (RFC 9110, 8.8.3) of the answer to this question at `rev`."""
        digest = hashlib.sha256(repr(self.normalised).encode()).hexdigest()[:16]
        return f'"{rev}-{digest}"'

    def rev_in(self, etags: Sequence[str]) -> KnownRev | None:
        """The `rev` of which somebody who has the answers of these ETags has the one to this question.

        A lone `*` is any. None when there is none of ours. Of several it is the newest: an inbox never goes
        back to an older one.
        """
        if list(etags) == ["*"]:
            return "*"
        own = self.etag(0)[3:]
        tags = filter(None, map(_TAG.fullmatch, etags))
        revs = [int(tag[1]) for tag in tags if f'{tag[2]}"' == own]
        return max(revs, default=None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How an inbox stands: what a badge needs, and when it next changes by itself.

    `due_ms` is when the next entry expires or comes back from a snooze, None when none will. It may be
    early, never late. `clock` is the offset of the same moment: everything published up to there is in it.
    """

    rev: int
    counts: Counts
    due_ms: int | None
    clock: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to a Query. `unchanged`: nothing moved since `if_rev`, and nothing but `at` is filled in."""

    at: Snapshot
    entries: tuple[Entry, ...] = ()
    next: int | None = None
    by_category: Mapping[str | None, Counts] = field(default_factory=dict)
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """What is to be marked: `ids`, or what stands at `up_to` (an id or a place) and below.

    `category` narrows `up_to`. `until_ms` belongs to `snoozed`.
    """

    what: MarkAs
    ids: tuple[str, ...] = ()
    up_to: str | int | None = None
    category: str | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class MarkResult:
    """How many entries changed, which ids are not in the inbox, and how it stands after."""

    changed: int
    missing: tuple[str, ...]
    at: Snapshot


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is kept, and differs from what the entries say."""

    what: str
    kept: str
    found: str


def cursor(place: int | None) -> str | None:
    """A place as `next` shows it: unreserved URL characters."""
    return None if place is None else str(place)


def parse_place(text: str) -> int | None:
    """The place that `after`, or `up_to`, stands for; None when it is none."""
    return int(text) if _PLACE.fullmatch(text) else None
