"""A node's ear: one subscribing connection that heals itself.

It is subscribed to the topics of the channels that local sockets are in, to the node's own topic, and to the
channels on which python-socketio's managers talk. After its connection was cut it subscribes again, reads
from the logs what it missed, and only then goes on with what is live: nothing twice, nothing out of order.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from notify.backplane.canary import Canary, Echo
from notify.backplane.connection import Connection, Opener
from notify.backplane.delivery import Delivery
from notify.backplane.membership import Room
from notify.backplane.stats import BackplaneStats
from notify.domain.channel import Channel
from notify.domain.errors import NotifyError, Unavailable
from notify.domain.offset import Offset

RECONNECT_MIN_S, RECONNECT_MAX_S = 0.05, 1.0

log = structlog.get_logger(__name__)


class MissedMessage(Protocol):
    """What a log holds after a place."""

    @property
    def channel(self) -> Channel: ...
    @property
    def ms(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def message(self) -> bytes: ...


class Backlog(Protocol):
    """An answer to "what did I miss?": `verdict` is ok, or why there is none."""

    @property
    def verdict(self) -> str: ...
    @property
    def clock(self) -> Offset | None: ...
    @property
    def missed(self) -> Sequence[MissedMessage]: ...


class Store(Echo, Protocol):
    """What the subscriber asks of the store. All raise Unavailable."""

    async def catch_up(self, places: Sequence[tuple[Channel, Offset]], *, reached: Offset) -> Backlog:
        """What the channels' logs hold after those places."""


class Listener(Protocol):
    """Who is told what the subscriber hears. Nothing in here may block or raise."""

    def deliver(self, pairs: Sequence[tuple[Room, Delivery]]) -> None:
        """Messages of channels, in the order of their offsets."""

    def heard(self, topic: bytes, payload: bytes) -> None:
        """A message on one of the other topics."""

    def hole(self, rooms: Sequence[Room], reason: str) -> None:
        """What these channels' members missed cannot be had any more: they must be told."""


class Subscriber:
    """Keeps the connection and the subscriptions; hands on what comes, whole and in order."""

    def __init__(
        self,
        *,
        opener: Opener,
        store: Store,
        topic_prefix: str,
        node_topic: str,
        other_topics: Sequence[str],
        stats: BackplaneStats,
        window_s: float,
    ) -> None:
        self.listener: Listener | None = None
        self.last_seen: Offset | None = None
        """Everything up to here has been handed on."""
        self._opener = opener
        self._store = store
        self._topic_prefix = topic_prefix
        self._other_topics = [topic.encode() for topic in (node_topic, *other_topics)]
        self._stats = stats
        self._window_s = window_s
        self._rooms: dict[bytes, Room] = {}
        self._wanted: list[bytes] = []
        self._dropped: dict[bytes, Room] = {}
        self._flushing = False
        self._connection: Connection | None = None
        self._held: list[tuple[Room, Delivery]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._settling: deque[tuple[Offset, Callable[[], None]]] = deque()
        self._canary = Canary(store=store, topic=node_topic, stats=stats)

    # -- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect and hear the first canary. Raises Unavailable."""
        await self._connect()
        await self._canary.barrier(self._connection)
        self._tasks = [
            asyncio.create_task(self._keep(), name="subscriber-keeper"),
            asyncio.create_task(self._watch(), name="subscriber-canary"),
        ]

    async def stop(self) -> None:
        """Unsubscribe from everything and close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._connection is not None:
            self._connection.send("UNSUBSCRIBE", [*self._rooms, *self._other_topics])
            await asyncio.sleep(0)
            self._connection.abort()
            self._connection = None

    @property
    def deaf(self) -> bool:
        """This node alone hears nothing, though Redis answers."""
        return self._canary.deaf

    @property
    def connected(self) -> bool:
        """True while there is a connection, be it still catching up."""
        return self._connection is not None and not self._connection.lost.done()

    async def _connect(self) -> None:
        _, connection = await self._opener.open(
            Connection(confirmed=self._confirm, received=self._receive, refused=self._refuse)
        )
        self._connection = connection
        # Each on its own: an ACL that fences the prefix refuses python-socketio's default channel.
        for topic in self._other_topics:
            connection.send("SUBSCRIBE", [topic])
        self._canary.restart()

    async def _keep(self) -> None:
        while True:
            connection = self._connection
            if connection is not None:
                await asyncio.shield(connection.lost)
            cut_at = self._canary.heard_at
            self._stats.subscribed = False
            self._fail_waiters()
            log.warning("subscriber_lost")
            delay = RECONNECT_MIN_S
            while True:
                self._held = []
                try:
                    await self._connect()
                    for room in self._rooms.values():
                        room.ready = False
                    self._dropped.clear()
                    self._wanted = []
                    if self._connection is not None:
                        self._connection.send("SUBSCRIBE", list(self._rooms))
                    await self._catch_up(outage_s=time.monotonic() - cut_at)
                    break
                except NotifyError as error:
                    self._fail_waiters()
                    log.warning("subscriber_unreachable", reason=error.detail, retry_in_s=round(delay, 2))
                    if self._connection is not None:
                        self._connection.abort()
                    await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
                    delay = min(delay * 2, RECONNECT_MAX_S)
            self._stats.resubscriptions += 1
            self._stats.subscribed = True
            log.info("subscriber_back", topics=len(self._rooms))

    def _fail_waiters(self) -> None:
        for room in self._rooms.values():
            room.ready = False
            waiter, room.waiter = room.waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_exception(Unavailable("The subscription was lost", retry_after_s=1))
                waiter.exception()  # whoever waits gets it; nobody has to

    # -- subscriptions --------------------------------------------------------------------------------

    def add(self, room: Room) -> None:
        """Subscribe to a channel, with all others of this turn of the loop."""
        topic = f"{self._topic_prefix}{room.channel.address}".encode()
        room.topic = topic
        self._rooms[topic] = room
        before = self._dropped.pop(topic, None)
        if before is not None:
            room.ready = before.ready  # it was never unsubscribed from
            room.since = before.since
        else:
            self._wanted.append(topic)
            self._flush_soon()
        self._stats.topics = len(self._rooms)

    def remove(self, room: Room) -> None:
        """Unsubscribe from a channel that has no members here any more."""
        if self._rooms.get(room.topic) is room:
            del self._rooms[room.topic]
            self._dropped[room.topic] = room
            waiter, room.waiter = room.waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(None)  # those who wait have left: there is nothing to wait for
            self._flush_soon()
            self._stats.topics = len(self._rooms)

    async def ready(self, room: Room) -> None:
        """Wait until a channel's subscription is confirmed. Raises Unavailable when the connection breaks."""
        if room.ready:
            return
        if not self.connected:
            raise Unavailable("This node is not subscribed: Redis is away", retry_after_s=1)
        if room.waiter is None:
            room.waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(room.waiter)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        connection = self._connection
        if connection is None:
            return
        wanted, self._wanted = self._wanted, []
        wanted = [topic for topic in wanted if topic in self._rooms or topic in self._dropped]
        if wanted:
            connection.send("SUBSCRIBE", wanted)
        # A subscription that is not confirmed yet is given up once it is, or the confirmation would be taken
        # for that of the next one.
        given_up = [topic for topic, room in self._dropped.items() if room.ready]
        if given_up:
            connection.send("UNSUBSCRIBE", given_up)
            for topic in given_up:
                del self._dropped[topic]

    def _confirm(self, topic: bytes) -> None:
        room = self._rooms.get(topic)
        if room is not None:
            room.ready = True
            waiter, room.waiter = room.waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        elif topic in self._dropped:
            self._dropped[topic].ready = True
            self._flush_soon()

    def _refuse(self, error: str) -> None:
        self._stats.malformed["refused"] += 1
        log.warning("subscription_refused", reason=error)

    # -- messages -------------------------------------------------------------------------------------

    def _receive(self, messages: list[tuple[bytes, bytes]]) -> None:
        pairs: list[tuple[Room, Delivery]] = []
        rooms = self._rooms
        for topic, payload in messages:
            room = rooms.get(topic)
            if room is not None:
                try:
                    pairs.append((room, Delivery(payload)))
                except (ValueError, TypeError):
                    self._stats.malformed["topic"] += 1
            elif topic in self._other_topics:
                if pairs:
                    self._hand_on(pairs)
                    pairs = []
                self._hear(topic, payload)
        if pairs:
            self._hand_on(pairs)

    def _hand_on(self, pairs: list[tuple[Room, Delivery]]) -> None:
        self._stats.messages += len(pairs)
        if self._held is not None:
            self._held += pairs
            return
        if self.listener is not None:
            self.listener.deliver(pairs)
        self._reach(pairs[-1][1].offset)

    def _reach(self, offset: Offset) -> None:
        seen = self.last_seen
        if seen is not None and offset.epoch != seen.epoch:
            self.last_seen = offset
            self._meet_epoch(offset)
        elif seen is None or offset.follows(seen):
            self.last_seen = offset
        if self._settling:
            self._settle()

    def _hear(self, topic: bytes, payload: bytes) -> None:
        if payload.startswith(b"canary "):
            self._hear_canary(payload)
        elif self.listener is not None:
            self.listener.heard(topic, payload)

    def when_reached(self, offset: Offset, action: Callable[[], None]) -> None:
        """Run `action` once everything up to `offset` has been handed on: now, or at the next canary."""
        if self.reached(offset):
            action()
        else:
            self._settling.append((offset, action))

    def _settle(self) -> None:
        # What waits came by one connection, so it waits in order.
        waiting = self._settling
        while waiting and self.reached(waiting[0][0]):
            waiting.popleft()[1]()

    def reached(self, offset: Offset) -> bool:
        """True when everything up to `offset` has been handed on."""
        seen = self.last_seen
        return seen is not None and not offset.follows(seen)

    def _hear_canary(self, payload: bytes) -> None:
        offset = self._canary.hear(payload)
        if offset is not None and self._held is None:
            self._reach(offset)
            self._stats.subscribed = True

    async def _watch(self) -> None:
        while True:
            if not await self._canary.watch():
                self._stats.subscribed = False
                if self._connection is not None:
                    self._connection.abort()

    # -- healing --------------------------------------------------------------------------------------

    async def _catch_up(self, *, outage_s: float) -> None:
        """Read what was missed while nothing was heard, merge it with what is live again, and go on."""
        seen = self.last_seen
        await self._canary.barrier(
            self._connection
        )  # all subscriptions stand: what is published from here on is held
        entries: list[tuple[Room, Delivery]] = []
        holes: list[Room] = []
        if seen is not None:
            rooms = [room for room in self._rooms.values() if room.members]
            if outage_s > self._window_s:
                holes = rooms
            else:
                for begin in range(0, len(rooms), 200):
                    found, lost = await self._missed(rooms[begin : begin + 200], seen)
                    entries += found
                    holes += lost
            await self._canary.barrier(
                self._connection
            )  # what the logs told is in: live ones up to there are among the held
        self._merge(entries, holes)

    async def _missed(
        self, rooms: Sequence[Room], seen: Offset
    ) -> tuple[list[tuple[Room, Delivery]], list[Room]]:
        places = [
            (room.channel, room.since if room.since is not None and room.since.follows(seen) else seen)
            for room in rooms
        ]
        backlog = await self._store.catch_up(places, reached=seen)
        if backlog.verdict == "ok":
            by_channel = {room.channel: room for room in rooms}
            found = []
            for missed in backlog.missed:
                try:
                    found.append((by_channel[missed.channel], Delivery(missed.message)))
                except (ValueError, TypeError):
                    self._stats.malformed["log"] += 1
            return found, []
        if backlog.verdict == "epoch":
            if backlog.clock is not None:
                if self.last_seen == seen:  # the first of several calls to hear of it
                    self._stats.epochs += 1
                self.last_seen = backlog.clock
            return [], list(rooms)
        if len(rooms) == 1:
            return [], list(rooms)
        found, lost = [], []
        for room in rooms:  # one of them does not reach back: find out which
            some, gone = await self._missed([room], seen)
            found += some
            lost += gone
        return found, lost

    def _merge(self, entries: list[tuple[Room, Delivery]], holes: list[Room]) -> None:
        held, self._held = self._held or [], None
        merged: dict[tuple[bytes, Offset], tuple[Room, Delivery]] = {}
        for room, delivery in (*entries, *held):
            if merged.setdefault((room.topic, delivery.offset), (room, delivery))[1] is not delivery:
                self._stats.duplicates += 1
        self._stats.gap_messages += len(entries)
        pairs = sorted(merged.values(), key=lambda pair: pair[1].offset[1:])
        if pairs:
            if self.listener is not None:
                self.listener.deliver(pairs)
            self._reach(pairs[-1][1].offset)
        if holes:
            self._stats.gaps_lost += len(holes)
            log.error("gap_lost", channels=len(holes))
            if self.listener is not None:
                self.listener.hole(holes, "gap")

    def _meet_epoch(self, offset: Offset) -> None:
        """Redis lost its data while we were listening: what it had accepted may be gone."""
        self._stats.epochs += 1
        log.error("epoch_changed", epoch=offset.epoch)
        if self.listener is not None:
            self.listener.hole([room for room in self._rooms.values() if room.members], "epoch")
