"""Inboxes for tests: posts into them, hears what is told of them, and lets time pass."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio

from notify.domain.channel import Channel
from notify.domain.errors import NotifyError
from notify.domain.inbox import Counts, Query
from notify.domain.message import Message, tail
from notify.domain.notifications.notification_id import new_id
from notify.domain.offset import Offset
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.store.inbox import Inbox, ToInbox
from notify.store.keys import Keys
from notify.store.log import Entry, Log
from notify.store.notifications.record import NewRecord, Record

HOUR_MS = 3_600_000
BARRIER = "notify:topic:user:/:barrier"

_tokens = itertools.count()


@dataclass(frozen=True)
class Told:
    """One published message, as a socket would have it."""

    address: str
    offset: Offset
    event: str
    said: Any
    message: Message

    @property
    def counts(self) -> Counts:
        """The counts of a change."""
        return Counts(**self.said["counts"])


class Inboxes:
    """The store's half of inboxes on a server that is emptied first."""

    def __init__(self, url: str, *, most: int = 1000) -> None:
        self.url = url
        self.keys = Keys()
        self.redis = Redis(Connector(url), stats=RedisStats())
        # What it answers is bytes; its types say that it may be text, too.
        self.client: Any = redis.asyncio.Redis.from_url(url, protocol=2)
        self._ears = self.client.pubsub()
        self.most(most)

    def most(self, entries: int) -> None:
        """From now on inboxes keep so many entries."""
        self.inbox = Inbox(self.redis, self.keys, max_entries=entries)
        self.log = Log(self.redis, self.keys, ttl_s=900, max_messages=1000, inbox=self.inbox)

    async def __aenter__(self) -> Inboxes:
        await self.redis.start()
        await self.client.flushall()
        await self._ears.psubscribe("notify:topic:*")
        await self.told()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ears.aclose()
        await self.client.aclose()
        await self.redis.stop()

    async def now_ms(self) -> int:
        """Redis' time."""
        seconds, us = await self.client.time()
        return int(seconds) * 1000 + int(us) // 1000

    async def entry(
        self,
        *users: str,
        ttl_ms: int = 24 * HOUR_MS,
        id_: str | None = None,
        rooms: Sequence[str] = (),
        title: str = "Hello",
        once: tuple[str, str] | None = None,
        recipients: int | None = None,
        outside: Sequence[str] = (),
        category: str | None = None,
        collapse_key: str | None = None,
    ) -> Entry:
        """A notification for the inboxes of `users`, for rooms, and for users `outside` of inboxes."""
        now_ms = await self.now_ms()
        id_ = id_ or new_id(now_ms)
        recipients = len(users) if recipients is None else recipients
        channels = [Channel("/", "user", user) for user in (*users, *outside)]
        channels += [Channel("/", "room", room) for room in rooms]
        return Entry(
            channels,
            tail(id_, "req-1"),
            orjson.dumps(["notification", {"id": id_, "title": title}])[:-1],
            overlaps=bool(rooms),
            expires_ms=now_ms + ttl_ms,
            once=once,
            record=NewRecord(id_, recipients, now_ms, channels[len(users) :], partial=once is not None),
            inbox=ToInbox(id_, len(users), recipients, category, collapse_key),
        )

    async def post(self, *users: str, **options: Any) -> str:
        """Post a notification; its id."""
        entry = await self.entry(*users, **options)
        await self.append(entry)
        assert entry.inbox is not None
        return entry.inbox.id

    async def append(self, entry: Entry) -> Offset:
        """Append to the log, or raise."""
        (outcome,) = await self.log.append(entry)
        if isinstance(outcome, NotifyError):
            raise outcome
        return outcome

    async def told(self, user: str | None = None) -> list[Told]:
        """What was published since this was asked last, in order; of one user's topic, or of all."""
        token = str(next(_tokens))
        await self.client.publish(BARRIER, token)
        found: list[Told] = []
        while True:
            message = await self._ears.get_message(timeout=10)
            assert message is not None, "what was published has not come back"
            if message["type"] != "pmessage":
                continue
            if message["channel"].decode() == BARRIER:
                if message["data"].decode() == token:
                    return found
                continue
            address = message["channel"].decode().removeprefix(self.keys.topic_prefix)
            taken = Message(message["data"])
            event, said, offset = json.loads(taken.array)
            assert offset == str(taken.offset)
            if user is None or address == Channel("/", "user", user).address:
                found.append(Told(address, taken.offset, event, said, taken))

    async def ids(self, user: str, status: Any = "all", **query: Any) -> list[str]:
        """The ids of a list, newest first."""
        page = await self.inbox.page(user, Query(status, **{"limit": 100, **query}))
        return [entry.id for entry in page.entries]

    async def pass_time(self, user: str, ms: int) -> None:
        """Move the deadlines of an inbox into the past, as if so much time had gone by."""
        key = self.keys.inbox(user)
        counter = await self.client.get(key)
        if counter is None:
            return
        await self.client.set(key, _earlier(counter, 22, ms), pxat=await self.client.pexpiretime(key))
        entries = await self.client.hgetall(f"{key}:entries")
        for id_, packed in entries.items():
            await self.client.hset(f"{key}:entries", id_, _earlier(_earlier(packed, 0, ms), 24, ms))

    async def eternal_keys(self) -> list[str]:
        """Keys that would stay for ever and are not of those that may."""
        names = [name.decode() async for name in self.client.scan_iter(count=1000)]
        return [
            name
            for name in names
            if await self.client.ttl(name) == -1 and name.rpartition(":")[2] not in Keys.PERMANENT
        ]

    async def body_of(self, id_: str) -> bytes:
        """The body that is kept of a notification, empty when none is."""
        record = await self.client.get(self.keys.record(id_)) or b""
        assert isinstance(record, bytes)
        return Record.parse(record).array if record else b""


def _earlier(packed: bytes, begin: int, ms: int) -> bytes:
    moment = int.from_bytes(packed[begin : begin + 6], "big")
    moved = (moment - ms if moment else 0).to_bytes(6, "big")
    return packed[:begin] + moved + packed[begin + 6 :]
