"""How long Redis is busy at a time: the longest single call of each script where there is most to do.

python -m tests.bench.busy [--runs N] [--only mark,publish] [--most MS]

Asked of the store itself, on a Valkey with a core to itself. Redis' slow log says how long each call took.
Of the longest call of each run it shows the least, the median and the worst over the runs: how far they lie
apart says how much else the machine did.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.domain.inbox import Mark, Query
from notify.domain.notifications.notification import Accepted, Notification, Target
from notify.domain.notifications.notification_id import new_id
from notify.domain.offset import Offset
from notify.redis import scripts
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.pieces import pieces
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Claim, Log
from tests.bench.machine import SERVER_CORE
from tests.bench.processes import BenchError, Processes
from tests.bench.valkey import Valkey

DAY_MS = 24 * 3600 * 1000
SLOWER_THAN_US = 50
SOON_MS = 4_000
"""What is to be due is made due so much later than it is posted: it is all there by then."""
MOST_ENTRIES = 1000


class Busy:
    """The store on an empty Redis, and what its slow log says."""

    def __init__(self, url: str, *, most_entries: int = MOST_ENTRIES) -> None:
        self.keys = Keys()
        self.redis = Redis(Connector(url, timeout_s=5), stats=RedisStats())
        self.inbox = Inbox(self.redis, self.keys, max_entries=most_entries)
        self.log = Log(self.redis, self.keys, ttl_s=900, max_messages=300, inbox=self.inbox)
        self._names = {script.sha: script.name for script in scripts.ALL}

    async def post(self, notification: Notification, *, expires_ms: int | None = None) -> None:
        """Publish as the service does."""
        await self.post_many([notification], expires_ms=expires_ms)

    async def post_many(
        self, notifications: list[Notification], *, expires_ms: int | None = None
    ) -> list[str]:
        """Publish several; their ids."""
        now_ms = int(time.time() * 1000)
        ids, entries = [], []
        for notification in notifications:
            accepted = Accepted(new_id(now_ms), now_ms, expires_ms or now_ms + 30 * DAY_MS)
            ids.append(accepted.id)
            entries += pieces(accepted, notification, once=None, trace="req-1")
        for outcome in await self.log.append(*entries):
            if isinstance(outcome, NotifyError):
                raise outcome
        return ids

    async def forget(self) -> None:
        """Begin to measure."""
        await self.redis.execute("SLOWLOG", "RESET")

    async def longest(self, slower_than_us: int = SLOWER_THAN_US) -> tuple[float, str, int]:
        """The longest call since then in ms, what it was, and how many were looked at: those that took
        longer than what Redis was told to write down.
        """
        calls = [
            (entry[2] / 1000, self._name(entry[3]))
            for entry in await self.redis.execute("SLOWLOG", "GET", -1)
            if entry[3][0].upper() not in (b"SLOWLOG", b"FLUSHALL", b"CONFIG", b"SCRIPT")
        ]
        took, name = max(calls, default=(0.0, f"all under {slower_than_us} us"))
        return took, name, len(calls)

    def _name(self, words: list[bytes]) -> str:
        if words[0].upper() == b"EVALSHA":
            return self._names.get(words[1].decode(), "?")
        return words[0].decode()


def shown(bytes_: int, *users: str, rooms: tuple[str, ...] = (), collapse: str | None = None) -> Notification:
    """One with a body of so many bytes."""
    return Notification(
        Target(users=users, rooms=rooms), title="Build failed", body="b" * bytes_, collapse_key=collapse
    )


async def fill(
    busy: Busy, *users: str, entries: int = MOST_ENTRIES, expires_ms: int | None = None
) -> tuple[str, ...]:
    """Inboxes with so many entries of 1 KiB; their ids."""
    return tuple(await busy.post_many([shown(1024, *users) for _ in range(entries)], expires_ms=expires_ms))


async def passed(at_ms: int) -> None:
    """Wait until then, and a little."""
    left_ms = at_ms - time.time() * 1000
    if left_ms <= 0:
        raise BenchError("it was due before all of it was there")
    await asyncio.sleep(left_ms / 1000 + 0.02)


async def mark_deleted(busy: Busy) -> None:
    """All of an inbox is deleted: each body goes."""
    await fill(busy, "ada")
    await busy.forget()
    await busy.inbox.mark("ada", Mark("deleted", up_to=10**14))


async def mark_deleted_shared(busy: Busy) -> None:
    """The same, where another has each of them, too."""
    await fill(busy, "ada", "bob")
    await busy.forget()
    await busy.inbox.mark("ada", Mark("deleted", up_to=10**14))
    await busy.inbox.mark("bob", Mark("deleted", up_to=10**14))


async def mark_read(busy: Busy) -> None:
    """All of an inbox is marked read, unread, archived."""
    await fill(busy, "ada")
    await busy.forget()
    for what in ("read", "unread", "archived"):
        await busy.inbox.mark("ada", Mark(what, up_to=10**14))


async def mark_by_ids(busy: Busy) -> None:
    """A thousand entries are marked by their ids: read, unread, snoozed, archived."""
    ids = await fill(busy, "ada")
    until_ms = int(time.time() * 1000) + DAY_MS
    await busy.forget()
    for mark in (
        Mark("read", ids=ids),
        Mark("unread", ids=ids),
        Mark("snoozed", ids=ids, until_ms=until_ms),
        Mark("archived", ids=ids),
    ):
        await busy.inbox.mark("ada", mark)


async def mark_deleted_by_ids(busy: Busy) -> None:
    """A thousand entries are deleted by their ids."""
    ids = await fill(busy, "ada")
    await busy.forget()
    await busy.inbox.mark("ada", Mark("deleted", ids=ids))


async def snoozes_end(busy: Busy) -> None:
    """A thousand snoozes are over at once: each is shown again, body and all."""
    await fill(busy, "ada")
    at_ms = int(time.time() * 1000) + SOON_MS
    await busy.inbox.mark("ada", Mark("snoozed", up_to=10**14, until_ms=at_ms))
    await passed(at_ms)
    await busy.forget()
    await busy.inbox.snapshot("ada")


async def snoozes_of_large_end(busy: Busy) -> None:
    """A hundred snoozes of 60 KiB are over at once."""
    await busy.post_many([shown(60 * 1024, "ada") for _ in range(100)])
    at_ms = int(time.time() * 1000) + SOON_MS // 4
    await busy.inbox.mark("ada", Mark("snoozed", up_to=10**14, until_ms=at_ms))
    await passed(at_ms)
    await busy.forget()
    await busy.inbox.snapshot("ada")


async def expiry(busy: Busy) -> None:
    """A thousand entries expire at once."""
    at_ms = int(time.time() * 1000) + SOON_MS
    await fill(busy, "ada", expires_ms=at_ms)
    await passed(at_ms)
    await busy.forget()
    await busy.inbox.page("ada", Query())


async def publish_to_due(busy: Busy) -> None:
    """One call of publish meets 32 inboxes with a hundred entries of each that are due."""
    users = [f"user-{number}" for number in range(32)]
    at_ms = int(time.time() * 1000) + SOON_MS
    for user in users:
        await fill(busy, user, entries=100, expires_ms=at_ms)
    await passed(at_ms)
    await busy.forget()
    await busy.post(shown(1024, *users))


async def publish_to_full(busy: Busy) -> None:
    """One call of publish meets 32 inboxes that are full."""
    users = [f"user-{number}" for number in range(32)]
    await fill(busy, *users)
    await busy.forget()
    await busy.post(shown(1024, *users))


async def publish_to_many(busy: Busy) -> None:
    """One notification to 1,000 users and 100 rooms, which overlap."""
    await busy.forget()
    rooms = tuple(f"room-{number}" for number in range(100))
    await busy.post(shown(1024, *(f"user-{number}" for number in range(1000)), rooms=rooms))


async def publish_large_to_rooms(busy: Busy) -> None:
    """64 KiB to 100 rooms."""
    rooms = tuple(f"room-{number}" for number in range(100))
    await busy.post(shown(63 * 1024, rooms=rooms))
    await busy.forget()
    await busy.post(shown(63 * 1024, rooms=rooms))


async def list_large(busy: Busy) -> None:
    """Pages of an inbox whose bodies are as large as they may be."""
    await busy.post_many([shown(63 * 1024, "ada") for _ in range(100)])
    await busy.forget()
    await busy.inbox.page("ada", Query(limit=100))


async def list_by_category(busy: Busy) -> None:
    """A page of 100 out of 1,000, with counts by category."""
    await busy.post_many(
        [
            Notification(Target(users=("ada",)), title="Build", body="b" * 1024, category=f"c{number % 50}")
            for number in range(1000)
        ]
    )
    await busy.forget()
    await busy.inbox.page("ada", Query(limit=100, by_category=True))
    await busy.inbox.page("ada", Query(status="read", limit=100, by_category=True))


async def retract(busy: Busy) -> None:
    """One that 1,000 users have is taken back, piece by piece."""
    users = tuple(f"user-{number}" for number in range(1000))
    (id_,) = await busy.post_many([shown(1024, *users)])
    await busy.forget()
    for begin in range(0, 1000, 32):
        await busy.inbox.remove(id_, users[begin : begin + 32], reason="retracted")


async def replay_large(busy: Busy) -> None:
    """A client comes back and is owed 300 messages of 64 KiB."""
    await busy.post(shown(10, rooms=("lobby",)))
    began = await busy.log.clock()
    if began is None:
        raise BenchError("nothing was published")
    await busy.post_many([shown(63 * 1024, rooms=("lobby",)) for _ in range(300)])
    claim = Claim("notify:session:x", ("notify:r1", "notify:r2"), "notify:o", 0, b"was", b"", b"is", 900)
    await busy.redis.execute("SET", "notify:session:x", b"was", "EX", 900)
    await busy.forget()
    answer = await busy.log.replay(
        [(Channel("/", "room", "lobby"), began)], reached=began, most=300, claim=claim
    )
    if len(answer.missed) != 300:
        raise BenchError(f"{answer.verdict}, {len(answer.missed)} of 300")


async def _catch_up(busy: Busy, rooms: int, entries: int, size: int) -> None:
    await busy.post(shown(10, rooms=("lobby",)))
    began = await busy.log.clock()
    if began is None:
        raise BenchError("nothing was published")
    names = [f"room-{number}" for number in range(rooms)]
    for name in names:
        await busy.post_many([shown(size, rooms=(name,)) for _ in range(entries)])
    starts: list[tuple[Channel, Offset, bool]] = [
        (Channel("/", "room", name), began, False) for name in names
    ]
    await busy.forget()
    found = 0
    while starts:
        answer = await busy.log.catch_up(
            starts, reached=began, heard_ms=int(time.time() * 1000), window_ms=900_000
        )
        if answer.verdict != "ok" or answer.gaps:
            raise BenchError(f"{answer.verdict}, gaps {len(answer.gaps)}")
        found += len(answer.missed)
        starts = starts[answer.done :]
        if answer.come_to is not None:
            starts[0] = (starts[0][0], answer.come_to, False)
    if found != rooms * entries:
        raise BenchError(f"{found} of {rooms * entries}")


async def catch_up_many(busy: Busy) -> None:
    """A node catches up with 200 rooms of 25 messages each."""
    await _catch_up(busy, 200, 25, 1024)


async def catch_up_idle(busy: Busy) -> None:
    """A node catches up with 200 rooms of one message each."""
    await _catch_up(busy, 200, 1, 100)


async def catch_up_large(busy: Busy) -> None:
    """A node catches up with 4 rooms of 100 messages of 64 KiB."""
    await _catch_up(busy, 4, 100, 63 * 1024)


CASES: list[Callable[[Busy], Awaitable[None]]] = [
    mark_deleted,
    mark_deleted_shared,
    mark_read,
    mark_by_ids,
    mark_deleted_by_ids,
    snoozes_end,
    snoozes_of_large_end,
    expiry,
    publish_to_due,
    publish_to_full,
    publish_to_many,
    publish_large_to_rooms,
    list_large,
    list_by_category,
    retract,
    replay_large,
    catch_up_many,
    catch_up_idle,
    catch_up_large,
]


async def _measure(url: str, arguments: argparse.Namespace) -> bool:
    busy = Busy(url)
    await busy.redis.start()
    kept = True
    try:
        await busy.redis.execute("CONFIG", "SET", "slowlog-log-slower-than", SLOWER_THAN_US)
        await busy.redis.execute("CONFIG", "SET", "slowlog-max-len", 100_000)
        print(f"{'longest call, ms':<24} {'least':>7} {'median':>7} {'worst':>7}  where", flush=True)
        for case in CASES:
            if arguments.only and not any(word in case.__name__ for word in arguments.only.split(",")):
                continue
            took = []
            for _ in range(arguments.runs):
                await busy.redis.execute("FLUSHALL", "SYNC")
                await case(busy)
                took.append(await busy.longest())
            typical = median(one[0] for one in took)
            worst = max(took)
            kept = kept and typical <= arguments.most
            least = min(took)[0]
            figures = f"{least:7.2f} {typical:7.2f} {worst[0]:7.2f}"
            print(f"{case.__name__:<24} {figures}  {worst[1]}, {worst[2]} calls", flush=True)
    finally:
        await busy.redis.stop()
    return kept


def main() -> int:
    """1 when a call was longer than it may be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.busy", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose names hold one of these words")
    parser.add_argument("--most", type=float, default=3.0, help="ms that a call may take, in the median")
    arguments = parser.parse_args()
    with Processes() as processes:
        valkey = Valkey(processes, core=SERVER_CORE, first=True)
        try:
            return 0 if asyncio.run(_measure(valkey.url, arguments)) else 1
        finally:
            valkey.remove()


if __name__ == "__main__":
    sys.exit(main())
