"""A node's ear and its books, on a real Valkey, with sockets that only remember what they were sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from notify.backplane.delivery import EventVariant
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member, Room
from notify.backplane.node_messages import NodeMessage
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import MAX_MESSAGE_BYTES, Subscriber
from notify.domain.channel import Channel
from notify.domain.errors import Unavailable
from notify.domain.notifications.notification import Notification, Target
from notify.protocol.engineio import Wire
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.publish import Publisher
from notify.service.stats import ServiceStats
from notify.store.idempotency import IdempotencyKeys
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.notifications.due import Due
from notify.store.notifications.plans import Plans
from tests.chaos.proxy import Proxy
from tests.support.waiting import until

PLAIN = "socketio"
"""What python-socketio's managers publish on when nothing is said."""


class Ear:
    """Stands for an engine socket: remembers the packets it was sent."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.members: tuple[Member, ...] = ()
        self.packets: list[bytes] = []
        self.closed = False

    async def drained(self) -> bool:
        return not self.closed

    def send(self, wire: Wire) -> None:
        self.packets += [bytes(part) for part in wire.parts]

    def close_transport(self, reason: str | None = None) -> None:
        self.closed = True

    def abort(self, reason: str) -> None:
        self.closed = True

    def too_slow(self) -> None:
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
    gaps: list[tuple[list[Channel], str]]
    commands: list[NodeMessage]

    async def member(self, user: str, *rooms: str) -> Ear:
        """A connected member in its user's channel and in rooms; returns when it is subscribed."""
        ear = Ear(f"{self.name}-{user}-{len(self.manager.books)}")
        member = self.manager.admit(f"sid-{ear.sid}", "/", ear)
        assert member is not None
        member.user, member.variant, member.state = (
            user,
            EventVariant("/", with_offset=True),
            Member.CONNECTED,
        )
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
        url: str,
        name: str,
        *,
        window_s: float = 60,
        max_messages: int = 1000,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> AsyncIterator[Side]:
        keys = Keys()
        connector = Connector(url)
        redis = Redis(connector, stats=RedisStats())
        log = Log(
            redis, keys, ttl_s=60, max_messages=max_messages, inbox=Inbox(redis, keys, max_entries=1000)
        )
        stats = BackplaneStats()
        gaps: list[tuple[list[Channel], str]] = []
        commands: list[NodeMessage] = []
        subscriber = Subscriber(
            connector=connector,
            store=log,
            topic_prefix=keys.topic_prefix,
            node_topic=keys.node(name),
            other_topics=(keys.socketio_topic, PLAIN),
            stats=stats,
            window_s=window_s,
            max_message_bytes=max_message_bytes,
        )

        def gap(rooms: Sequence[Room], reason: str) -> None:
            gaps.append(([room.channel for room in rooms], reason))

        manager = RedisManager(
            subscriber=subscriber,
            publish=redis.publish,
            plain_channel=PLAIN,
            socketio_topic=keys.socketio_topic,
            stats=stats,
            on_gap=gap,
            on_command=commands.append,
        )
        publisher = Publisher(
            log=log,
            plans=Plans(redis, keys, Due(redis, keys)),
            idempotency_keys=IdempotencyKeys(redis, keys),
            stats=ServiceStats(),
        )
        await redis.start()
        await subscriber.start()
        try:
            yield Side(name, redis, log, subscriber, manager, publisher, stats, gaps, commands)
        finally:
            await manager.stop()
            await subscriber.stop()
            await redis.stop()

    return make


def titles(ear) -> list[str]:
    return [json.loads(packet[2:])[1]["title"] for packet in ear.packets]


def offsets(ear) -> list[tuple[int, ...]]:
    found = [json.loads(packet[2:])[-1] for packet in ear.packets]
    return [tuple(int(part) for part in offset.split("-")[1:]) for offset in found]


def to_user(title: str, user: str = "ada", **options) -> Notification:
    return Notification(Target(users=(user,)), title=title, **options)


def to_room(title: str, room: str = "lobby", **options) -> Notification:
    return Notification(Target(rooms=(room,)), title=title, **options)


@pytest.fixture
async def proxy(valkey):
    """A way to Redis that can be cut between two copies of one message."""
    proxy = Proxy(valkey.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


def subscribe_by(side, proxy: Proxy) -> None:
    """From the next connection on."""
    side.subscriber._connector = Connector(f"redis://127.0.0.1:{proxy.port}")
    side.subscriber._connection.abort()


@asynccontextmanager
async def held_away(side, valkey):
    """The side's subscription is cut and does not get through for as long as this lasts."""
    connector = side.subscriber._connector

    class Away:
        async def open(self, protocol):
            raise Unavailable("held away by the test")

    side.subscriber._connector = Away()
    side.subscriber._connection.abort()
    await until(lambda: not side.subscriber.connected)
    try:
        with valkey.client() as client:
            yield client
    finally:
        side.subscriber._connector = connector


def told(side) -> list[str]:
    """The names of the channels that were told of a gap, each time."""
    return sorted(channel.name for channels, _ in side.gaps for channel in channels if channel.name)


class EncodingServer:
    """What the manager needs of a server in order to encode an event."""

    from socketio.packet import Packet as packet_class
