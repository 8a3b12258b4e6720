"""P10: what inboxes cost Redis. Asked of the store itself, so that no HTTP is in the way."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from statistics import median, quantiles

import orjson

from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.domain.inbox import Mark, Query
from notify.domain.message import tail
from notify.domain.notifications.notification_id import new_id
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.inbox import Inbox, ToInbox
from notify.store.keys import Keys
from notify.store.log import Entry, Log
from notify.store.notifications.record import NewRecord
from tests.bench.machine import SERVER_CORE
from tests.bench.processes import BenchError, Processes
from tests.bench.valkey import Valkey

USERS, PIECE = 64, 32
WINDOWS = 40
LISTS = 2_000
DAY_MS = 24 * 3600 * 1000


class Inboxes:
    """The store's half of inboxes, on a Valkey with a core to itself."""

    def __init__(self, url: str) -> None:
        keys = Keys()
        self.redis = Redis(Connector(url), stats=RedisStats())
        self.inbox = Inbox(self.redis, keys, max_entries=1000)
        self.log = Log(self.redis, keys, ttl_s=900, max_messages=300, inbox=self.inbox)
        self._numbers = itertools.count()

    def entry(self, users: Sequence[str], *, into_inboxes: bool = True) -> Entry:
        """A notification as a build server posts it."""
        now_ms = int(time.time() * 1000)
        id_ = new_id(now_ms)
        shown = {
            "id": id_,
            "title": "Build failed",
            "body": f"main #{next(self._numbers)} failed after 3 minutes",
            "url": "https://ci.example.org/builds/812",
            "category": "ci",
            "priority": "normal",
            "data": {"build": 812},
            "created_at": "2026-11-26T01:00:00.000Z",
            "expires_at": "2026-12-26T01:00:00.000Z",
        }
        channels = [Channel("/", "user", user) for user in users]
        recipients = len(users) if into_inboxes else 0
        return Entry(
            channels,
            tail(id_, "req-1"),
            orjson.dumps(["notification", shown])[:-1],
            expires_ms=now_ms + 30 * DAY_MS,
            record=NewRecord(id_, recipients, now_ms, channels[recipients:]),
            inbox=ToInbox(id_, len(users), len(users), "ci") if into_inboxes else None,
        )

    async def append(self, *entries: Entry) -> None:
        """Append them all, or raise."""
        for outcome in await self.log.append(*entries):
            if isinstance(outcome, NotifyError):
                raise outcome

    async def script_us(self, work: Callable[[], Awaitable[object]]) -> float:
        """The microseconds that Redis spends in scripts for this."""
        await self.redis.execute("CONFIG", "RESETSTAT")
        await work()
        for line in (await self.redis.execute("INFO", "commandstats")).decode().splitlines():
            name, _, facts = line.partition(":")
            if name == "cmdstat_evalsha":
                return float(dict(fact.split("=") for fact in facts.split(","))["usec"])
        raise BenchError("Redis ran no script")

    async def more_us(self, size: int) -> float:
        """What an entry costs above a publish without one, for users in pieces of `size`, taken in turn."""
        await self.redis.execute("FLUSHALL")
        users = [f"user-{number}" for number in range(USERS)]
        pieces = [users[begin : begin + size] for begin in range(0, USERS, size)]
        took: dict[bool, list[float]] = {False: [], True: []}
        for window in range(WINDOWS + 5):
            for into_inboxes in took:
                entries = [self.entry(piece, into_inboxes=into_inboxes) for piece in pieces]
                us = await self.script_us(lambda entries=entries: self.append(*entries))  # type: ignore[misc]
                if window >= 5:
                    took[into_inboxes].append(us / USERS)
        return median(took[True]) - median(took[False])

    async def entry_bytes(self, count: int) -> float:
        """What one of `count` entries of an inbox takes up, bodies aside."""
        await self.redis.execute("FLUSHALL")
        await self.append(*(self.entry(["ada"]) for _ in range(count)))
        names = await self.redis.execute("KEYS", "notify:inbox:*")
        used: list[int] = [
            await self.redis.execute("MEMORY", "USAGE", name, "SAMPLES", "0") for name in names
        ]
        return sum(used) / count

    async def list_p99_ms(self) -> float:
        """A list of 20 out of 1,000, from the call to its answer. The inbox is as `entry_bytes` left it."""
        took = []
        for _ in range(LISTS):
            began = time.perf_counter()
            page = await self.inbox.page("ada", Query())
            took.append((time.perf_counter() - began) * 1000)
            if len(page.entries) != 20:
                raise BenchError(f"a list held {len(page.entries)} entries")
        return quantiles(took, n=100)[-1]

    async def mark_ms(self) -> float:
        """A mark of 1,000, in Redis: the median over marking them in turn as what they are not."""
        took = []
        for what in ("seen", "read", "unread", "archived", "unarchived") * 4:
            mark = Mark(what, up_to=10**14)
            if what == "unarchived":
                page = Query("archived", limit=100)
                ids: list[str] = []
                while True:
                    found = await self.inbox.page("ada", page)
                    ids += [entry.id for entry in found.entries]
                    if found.next is None:
                        break
                    page = Query("archived", limit=100, after=found.next)
                mark = Mark("unarchived", ids=tuple(ids))
            took.append(await self.script_us(lambda mark=mark: self.inbox.mark("ada", mark)) / 1000)  # type: ignore[misc]
        return median(took)


def measure() -> Iterator[tuple[str, float]]:
    """Each figure and its value, on a Valkey that is started for it."""
    with Processes() as processes, asyncio.Runner() as runner:
        valkey = Valkey(processes, core=SERVER_CORE)
        inboxes = Inboxes(valkey.url)
        try:
            runner.run(inboxes.redis.start())
            yield "P10 one", runner.run(inboxes.more_us(1))
            yield "P10 many", runner.run(inboxes.more_us(PIECE))
            yield "P10 at 100", runner.run(inboxes.entry_bytes(100))
            yield "P10 at 1,000", runner.run(inboxes.entry_bytes(1000))
            yield "P10 list", runner.run(inboxes.list_p99_ms())
            yield "P10 mark", runner.run(inboxes.mark_ms())
        finally:
            runner.run(inboxes.redis.stop())
            valkey.remove()
