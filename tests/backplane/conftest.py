"""A node's ear and its books, on a real Valkey, with sockets that only remember what they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member, Room
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import Subscriber
from notify.domain.channel import Channel
from notify.domain.packet import Wire
from notify.service.publish import Publisher
from notify.service.stats import ServiceStats
from notify.store.connection import Redis
from notify.store.idempotency import IdempotencyKeys
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.opener import Opener
from notify.store.stats import StoreStats


class Ear:
    """Stands for an engine socket: remembers the packets it was sent."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.members: tuple[Member, ...] = ()
        self.packets: list[bytes] = []
        self.closed = False

    def send(self, wire: Wire) -> None:
        self.packets += [bytes(part) for part in wire.parts]

    def close_transport(self, reason: str | None = None) -> None:
        self.closed = True

    def abort(self, reason: str) -> None:
        self.closed = True


@dataclass
class Side:
    """One node's side of the backplane."""

    name: str
    redis: Redis
    log: Log
    subscriber: Subscriber
    manager: RedisManager
    publisher: Publisher
    stats: BackplaneStats
    holes: list[tuple[list[Channel], str]] = field(default_factory=list)

    async def member(self, user: str, *rooms: str) -> Ear:
        """A connected member in its user's channel and in rooms; returns when it is subscribed."""
        ear = Ear(f"{self.name}-{user}-{len(self.manager.books)}")
        member = self.manager.admit(f"sid-{ear.sid}", "/", ear)
        assert member is not None
        member.user, member.form, member.state = user, ("/", True), Member.CONNECTED
        self.manager.enter(member, Channel("/", "user", user))
        for room in rooms:
            self.manager.enter(member, Channel("/", "room", room))
        for room_of in member.rooms:
            await self.subscriber.ready(room_of)
        return ear


MakeSide = Callable[[str, str], object]


@pytest.fixture
def side() -> Callable[[str, str], object]:
    """`async with side(url, name) as one_side:`"""

    @asynccontextmanager
    async def make(
        url: str, name: str, *, window_s: float = 60, max_messages: int = 1000
    ) -> AsyncIterator[Side]:
        keys = Keys()
        opener = Opener(url)
        redis = Redis(opener, stats=StoreStats())
        log = Log(redis, keys, ttl_s=60, max_messages=max_messages)
        stats = BackplaneStats()
        holes: list[tuple[list[Channel], str]] = []
        subscriber = Subscriber(
            opener=opener,
            store=log,
            topic_prefix=keys.topic_prefix,
            node_topic=keys.node(name),
            other_topics=(keys.socketio_topic, "socketio"),
            stats=stats,
            window_s=window_s,
        )

        def hole(rooms: Sequence[Room], reason: str) -> None:
            holes.append(([room.channel for room in rooms], reason))

        manager = RedisManager(
            subscriber=subscriber,
            publish=lambda topic, message: redis.execute("PUBLISH", topic, message),
            socketio_topic=keys.socketio_topic,
            stats=stats,
            on_hole=hole,
            on_command=lambda message: None,
        )
        publisher = Publisher(log=log, idempotency_keys=IdempotencyKeys(redis, keys), stats=ServiceStats())
        await redis.start()
        await subscriber.start()
        try:
            yield Side(name, redis, log, subscriber, manager, publisher, stats, holes)
        finally:
            await manager.stop()
            await subscriber.stop()
            await redis.stop()

    return make


async def until(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Wait for a condition. Fails when it does not come true."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
