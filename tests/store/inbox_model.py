"""What an inbox ought to do, in a few lines of Python that know nothing of Redis.

Time is virtual, in ms. What is told is a list of tuples, as `taken_apart` makes them of published messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from notify.domain.inbox import Counts


def taken_apart(event: str, said: Any) -> tuple[Any, ...]:
    """What was published, as the model says it."""
    if event == "notification":
        inbox = said["inbox"]
        assert inbox["rev"] == inbox["place"]
        return ("notification", said["id"], inbox["rev"], inbox["unseen"], inbox["unread"])
    counts = Counts(**said["counts"])
    if event == "notification:removed":
        return ("removed", said["reason"], tuple(sorted(said["ids"])), said["rev"], counts)
    named = (
        ("up_to", said["up_to"], said.get("category")) if "up_to" in said else ("ids", *sorted(said["ids"]))
    )
    return ("changed", said["as"], named, said["rev"], counts)


@dataclass
class ModelEntry:
    """One entry."""

    id: str
    place: int
    expires_ms: int
    category: str | None = None
    collapse_key: str | None = None
    delivered: bool = False
    seen: bool = False
    read: bool = False
    archived: bool = False
    snoozed_until_ms: int | None = None

    @property
    def active(self) -> bool:
        """In list and counts."""
        return not self.archived and self.snoozed_until_ms is None


@dataclass
class ModelInbox:
    """One inbox. Every method that changes something returns what is told of it."""

    most: int
    rev: int = 0
    entries: dict[str, ModelEntry] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        active = [entry for entry in self.entries.values() if entry.active]
        return Counts(
            sum(not entry.seen for entry in active), sum(not entry.read for entry in active), len(active)
        )

    def by_category(self) -> dict[str, Counts]:
        names = {entry.category for entry in self.entries.values() if entry.active} - {None}
        found = {}
        for name in names:
            part = {id_: entry for id_, entry in self.entries.items() if entry.category == name}
            found[str(name)] = ModelInbox(self.most, entries=part).counts
        return found

    def listed(self, status: str) -> list[str]:
        tests: dict[str, Any] = {
            "all": lambda entry: entry.active,
            "unseen": lambda entry: entry.active and not entry.seen,
            "unread": lambda entry: entry.active and not entry.read,
            "read": lambda entry: entry.active and entry.read,
            "archived": lambda entry: entry.archived,
            "snoozed": lambda entry: entry.snoozed_until_ms is not None,
        }
        found = [entry for entry in self.entries.values() if tests[status](entry)]
        return [entry.id for entry in sorted(found, key=lambda entry: -entry.place)]

    def sweep(self, now_ms: int) -> list[tuple[Any, ...]]:
        """What is due by itself."""
        told = self._remove(
            [entry.id for entry in self.entries.values() if entry.expires_ms <= now_ms], "expired"
        )
        back = [
            entry
            for entry in self.entries.values()
            if entry.snoozed_until_ms is not None and entry.snoozed_until_ms <= now_ms
        ]
        for entry in sorted(back, key=lambda entry: (entry.snoozed_until_ms, entry.id)):
            entry.snoozed_until_ms = None
            entry.seen = entry.read = False
            told += self._arrive(entry)
        return told

    def trim(self, room: int = 0) -> list[tuple[Any, ...]]:
        """The oldest go where there are too many."""
        oldest = sorted(self.entries.values(), key=lambda entry: entry.place)
        excess = max(0, len(oldest) + room - self.most)
        return self._remove([entry.id for entry in oldest[:excess]], "trimmed")

    def publish(self, now_ms: int, entry: ModelEntry) -> list[tuple[Any, ...]]:
        told = self.sweep(now_ms)
        if entry.collapse_key is not None:
            older = [one.id for one in self.entries.values() if one.collapse_key == entry.collapse_key]
            told += self._remove(older, "collapsed")
        told += self.trim(room=1)
        self.entries[entry.id] = entry
        return told + self._arrive(entry)

    def retract(self, id_: str) -> list[tuple[Any, ...]]:
        return self._remove([id_] if id_ in self.entries else [], "retracted")

    def mark(
        self,
        what: str,
        *,
        ids: list[str] | None = None,
        up_to: int | None = None,
        category: str | None = None,
        until_ms: int | None = None,
    ) -> tuple[int, list[tuple[Any, ...]]]:
        """How many changed, and what is told."""
        if ids is None:
            chosen = [
                entry
                for entry in sorted(self.entries.values(), key=lambda entry: entry.place)
                if entry.active and entry.place <= (up_to or 0) and category in (None, entry.category)
            ]
        else:
            chosen = [self.entries[id_] for id_ in dict.fromkeys(ids) if id_ in self.entries]
        if what == "deleted":
            return len(chosen), self._remove([entry.id for entry in chosen], "deleted")
        changed = [entry.id for entry in chosen if _change(entry, what, until_ms)]
        if not changed or what == "delivered":
            return len(changed), []
        self.rev += 1
        named = ("up_to", up_to, category) if ids is None else ("ids", *sorted(changed))
        return len(changed), [("changed", what, named, self.rev, self.counts)]

    def _remove(self, ids: list[str], reason: str) -> list[tuple[Any, ...]]:
        if not ids:
            return []
        for id_ in ids:
            del self.entries[id_]
        self.rev += 1
        return [("removed", reason, tuple(sorted(ids)), self.rev, self.counts)]

    def _arrive(self, entry: ModelEntry) -> list[tuple[Any, ...]]:
        self.rev += 1
        entry.place = self.rev
        counts = self.counts
        return [("notification", entry.id, self.rev, counts.unseen, counts.unread)]


def _change(entry: ModelEntry, what: str, until_ms: int | None) -> bool:
    before = repr(entry)
    if what in ("seen", "read"):
        entry.delivered = entry.seen = True
        entry.read = entry.read or what == "read"
        # `delivered` alone is no change of its own here
        return before.partition("seen=")[2] != repr(entry).partition("seen=")[2]
    if what == "delivered":
        entry.delivered = True
    elif what == "unread":
        entry.read = False
    elif what == "archived":
        entry.archived, entry.snoozed_until_ms = True, None
    elif what == "unarchived":
        entry.archived = False
    elif what == "snoozed":
        entry.archived, entry.snoozed_until_ms = False, until_ms
    elif what == "unsnoozed":
        entry.snoozed_until_ms = None
    return before != repr(entry)
