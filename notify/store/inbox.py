"""Inboxes in Redis: what a user finds when they come back. The layout stands in `lua/inbox.lua`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from notify.domain.channel import Channel
from notify.domain.errors import FieldError, Invalid, NotifyError, Unavailable
from notify.domain.inbox import (
    PAGE_BYTES,
    Counts,
    Entry,
    Finding,
    KnownRev,
    Mark,
    MarkResult,
    Page,
    Query,
    RemovedBecause,
    Snapshot,
    State,
)
from notify.domain.message import NO_TRACE
from notify.domain.notifications.notification_id import PREFIX
from notify.redis import scripts
from notify.redis.client import Redis
from notify.redis.commands import Argument
from notify.redis.scripts import Script
from notify.store.clock import fresh_epoch
from notify.store.keys import RECORD_KEPT_MS, Keys
from notify.store.notifications.record import Record
from notify.store.packed_entry import PackedEntry
from notify.store.recount import recount

LOOK = scripts.load(__package__, "inbox_look", preamble="inbox")
RESET = scripts.load(__package__, "inbox_reset", preamble="inbox")
LIST = scripts.load(__package__, "inbox_list", preamble="inbox")
MARK = scripts.load(__package__, "inbox_mark", preamble="inbox")
REMOVE = scripts.load(__package__, "inbox_remove", preamble="inbox")
RELEASE = scripts.load(__package__, "inbox_release", preamble="inbox")
ERASE = scripts.load(__package__, "inbox_erase", preamble="inbox")
CHECK = scripts.load(__package__, "inbox_check", preamble="inbox")

MAX_SWEPT = 5_000
"""Calls that do what is due before the call that was asked for: each does one entry at least, most of them
25 to 100.
"""
MARKED = 350
"""Entries that one call marks: Redis is busy with it for 1 to 3 ms."""
ERASED = 50
"""Entries that one call takes out of an inbox that is to be gone, and bodies that one call lets go: Redis is
busy with it for less than 1 ms.
"""

_ID = re.compile(r"ntf_[0-9A-Z]{26}")


class ToInbox(NamedTuple):
    """What of a log's entry goes into inboxes: those of the users of its first `users` channels.

    `recipients` are all whose inboxes the notification goes into, in this entry and others. An inbox that has
    one with the same `collapse_key` loses it. `expires_ms` of the entry says how long it stays.
    """

    id: str
    users: int
    recipients: int
    category: str | None = None
    collapse_key: str | None = None

    def owner(self, channels: Sequence[Channel]) -> str:
        """Whose inbox it is, when it is one, and empty otherwise."""
        return channels[0].name if self.recipients == 1 else ""


class Inbox:
    """Reads and marks inboxes; what goes into them comes by `Log.append`.

    Every call first does what is due (expires, ends snoozes), so that what it answers is exact at the time.
    Whatever changes is published on the user's topic in the same step, under an offset of its own.
    All calls raise Unavailable when Redis does not answer. They work while Redis is at its maxmemory.
    """

    def __init__(self, redis: Redis, keys: Keys, *, max_entries: int) -> None:
        self._redis = redis
        self._keys = keys
        self._max_entries = max_entries

    async def page(
        self, user: str, query: Query, *, if_rev: KnownRev | None = None, most_bytes: int = PAGE_BYTES
    ) -> Page:
        """One page, of at most so many bytes, but of one entry at least.

        With the `if_rev` of an answer that the caller has, nothing is read if it still holds, as `*` does.
        """
        reply = await self._swept(
            LIST,
            user,
            [
                "" if if_rev is None else if_rev,
                query.status,
                "" if query.after is None else query.after,
                query.limit,
                most_bytes,
                int(query.by_category),
                *query.categories,
            ],
        )
        verdict, rev, unseen, unread, total, due, below, found, counted = reply
        return Page(
            Snapshot(rev, Counts(unseen, unread, total), due or None),
            tuple(
                _entry(id_, place, packed, record)
                for id_, place, packed, record in zip(*(found[n::4] for n in range(4)), strict=True)
                if record and not record.endswith(b"\n")
            ),
            int(below) if below else None,
            {
                name.decode(): Counts(*numbers)
                for name, *numbers in zip(*(counted[n::4] for n in range(4)), strict=True)
            },
            unchanged=verdict == b"unchanged",
        )

    async def mark(self, user: str, mark: Mark, *, trace: str = NO_TRACE) -> MarkResult:
        """Mark entries, a slice of them at a time; what comes in meanwhile is not among them.

        Each slice is a change of its own. A mark that is broken off has done some of them, and once more does
        the rest. `trace` goes with what is published. Raises Invalid when `until_ms` has passed.
        """
        changed, lost, at = 0, set[str](), Snapshot(0, Counts(0, 0, 0), None)
        ids = dict.fromkeys(mark.ids)
        known = [_short(id_) for id_ in ids if _ID.fullmatch(id_)]
        if mark.up_to is None:
            mode, what = "ids", known[:MARKED]
        elif isinstance(mark.up_to, int):
            mode, what = "place", [str(mark.up_to), str(MARKED), "-inf"]
        else:
            mode, what = "id", [_short(mark.up_to), str(MARKED), "-inf"]
        category = mark.category or ""
        for done in range(MARKED, MAX_SWEPT * MARKED, MARKED):
            reply = await self._swept(
                MARK,
                user,
                [mark.what, mark.until_ms or "", mode, category, orjson.dumps(category), *what],
                trace=trace,
            )
            if reply[0] == b"past":
                if done > MARKED:  # the time came meanwhile: those before are back, and the others stayed
                    break
                detail = "must be in the future"
                raise Invalid(f"`until` {detail}", errors=[FieldError("/until", detail)])
            _, rev, unseen, unread, total, due, number, gone, released, ends, bound = reply
            await self._release(user, released.split())
            changed += number
            lost.update(PREFIX + id_.decode() for id_ in gone)
            at = Snapshot(rev, Counts(unseen, unread, total), due or None)
            if mark.up_to is None and done < len(known):
                what = known[done : done + MARKED]
            elif ends:
                mode, what = "place", [bound.decode(), str(MARKED), ends.decode()]
            else:
                break
        if mark.up_to is None:
            missing = tuple(id_ for id_ in ids if id_ in lost or not _ID.fullmatch(id_))
        else:
            missing = (str(mark.up_to),) if lost else ()
        return MarkResult(changed, missing, at)

    async def _release(self, user: str, deleted: Sequence[bytes]) -> None:
        """Let go of bodies in pieces. Those that a node dies with go when their records do, at the latest."""
        keys = self._keys
        for begin in range(0, len(deleted), ERASED):
            args: list[Argument] = [
                fresh_epoch(),
                user,
                keys.records,
                *deleted[begin : begin + ERASED],
            ]
            try:
                await self._redis.run(RELEASE, [keys.clock], args)
            except NotifyError:  # counted where it failed; what was marked is marked, and that is the answer
                return

    async def snapshot(self, user: str) -> Snapshot:
        """How the inbox stands, once what is due is done: for `session:ready`, a `reset`, and a timer at
        `due_ms`.
        """
        return (await self.look(user))[0]

    async def reset(self, user: str, *, trace: str = NO_TRACE) -> Snapshot:
        """How the inbox stands, told to all connections of the user by an `inbox:changed` as `reset`."""
        _, rev, unseen, unread, total, due = await self._swept(RESET, user, [], trace=trace)
        return Snapshot(rev, Counts(unseen, unread, total), due or None)

    async def look(self, user: str, sent: Sequence[tuple[str, int]] = ()) -> tuple[Snapshot, frozenset[str]]:
        """How the inbox stands, and what of `sent` must not be replayed, at the same moment.

        `sent` holds the (id, place) of messages in a log, place 0 for what went into no inbox. Not to be
        replayed is what was retracted, collapsed, deleted or has expired. What was merely trimmed is, and
        what of it had been deleted or collapsed before is not.
        """
        args: list[Argument] = []
        for id_, place in sent:
            args += (_short(id_), place)
        for _ in range(MAX_SWEPT):
            verdict, rev, unseen, unread, total, due, clock, *gone = await self._redis.run(
                LOOK, *self._call(user, args)
            )
            if verdict == b"ok":
                at = Snapshot(rev, Counts(unseen, unread, total), due or None, clock.decode())
                return at, frozenset(PREFIX + id_.decode() for id_ in gone)
        raise _too_much_due()

    async def states(self, notification_id: str, users: Sequence[str]) -> list[State | None]:
        """What each of these users has done with a notification; None for who has it no more."""
        id_ = _short(notification_id)
        packed = await asyncio.gather(
            *(self._redis.execute("HGET", f"{self._keys.inbox(user)}:entries", id_) for user in users)
        )
        return [None if one is None else PackedEntry.parse(one).state for one in packed]

    async def remove(
        self, notification_id: str, users: Sequence[str], *, reason: RemovedBecause, trace: str = NO_TRACE
    ) -> int:
        """Take a notification out of the inboxes of these users, a piece of them; how many had it."""
        keys = self._keys
        args: list[Argument] = [
            fresh_epoch(),
            _short(notification_id),
            reason,
            keys.records,
            self._max_entries,
            trace,
        ]
        for user in users:
            args += (self._topic(user), user)
        names = [keys.clock, *(keys.inbox(user) for user in users)]
        for _ in range(MAX_SWEPT):
            reply = await self._redis.run(REMOVE, names, args)
            if isinstance(reply, int):
                return reply
            for number in reply:
                await self.snapshot(users[number - 1])
        raise _too_much_due()

    async def erase(self, user: str) -> None:
        """Leave nothing of an inbox, and tell nobody."""
        while await self._redis.run(ERASE, *self._call(user, [ERASED])):
            pass

    async def check(self, user: str) -> list[Finding]:
        """Count again from the entries; what differs from what is kept. Changes nothing."""
        keys = self._keys
        reply = await self._redis.run(CHECK, [keys.clock, keys.inbox(user)], [fresh_epoch(), keys.records])
        return recount(*reply)

    def additions(
        self, to: ToInbox, channels: Sequence[Channel], expires_ms: int
    ) -> tuple[list[str], list[Argument]]:
        """The keys and arguments by which `publish.lua` puts an entry of the log into inboxes; those of its
        record come before.
        """
        keys = self._keys
        users = [channel.name for channel in channels[: to.users]]
        return (
            [keys.inbox(user) for user in users],
            [
                expires_ms + RECORD_KEPT_MS,
                _short(to.id),
                keys.records,
                to.recipients,
                PackedEntry.ending(to.category, to.collapse_key),
                to.collapse_key or "",
                self._max_entries,
                *users,
            ],
        )

    def _topic(self, user: str) -> str:
        return self._keys.topic_prefix + Channel("/", "user", user).address

    def _call(
        self, user: str, args: Sequence[Argument], *, trace: str = NO_TRACE
    ) -> tuple[list[str], list[Argument]]:
        keys = self._keys
        common: list[Argument] = [
            fresh_epoch(),
            self._topic(user),
            user,
            keys.records,
            self._max_entries,
            trace,
        ]
        return [keys.clock, keys.inbox(user)], [*common, *args]

    async def _swept(
        self, script: Script, user: str, args: Sequence[Argument], *, trace: str = NO_TRACE
    ) -> Any:
        for _ in range(MAX_SWEPT):
            reply = await self._redis.run(script, *self._call(user, args, trace=trace))
            if reply[0] != b"sweep_first":
                return reply
            await self.snapshot(user)
        raise _too_much_due()


def _too_much_due() -> Unavailable:
    return Unavailable("More becomes due in an inbox than can be done", retry_after_s=1)


def _short(notification_id: str) -> str:
    return notification_id.removeprefix(PREFIX)


def _entry(short: bytes, place: bytes, packed: bytes, record: bytes) -> Entry:
    entry = PackedEntry.parse(packed)
    shown = Record.parse(record).shown
    return Entry(
        PREFIX + short.decode(), int(place), entry.expires_ms, entry.state, entry.category or None, shown
    )
