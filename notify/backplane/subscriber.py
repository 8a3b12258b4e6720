"""A node's ear: one subscribing connection that heals itself.

It is subscribed to the topics of the channels that local sockets are in, to the node's own topic, and to the
channels on which python-socketio's managers talk. After its connection was cut it subscribes again, reads
from the logs what it missed, and only then goes on with what is live: nothing twice, nothing out of order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from notify.backplane import cuts
from notify.backplane.canary import Canary, Echo, Heard
from notify.backplane.catch_up import Logs, read_missed
from notify.backplane.delivery import Delivery
from notify.backplane.membership import Room
from notify.backplane.position import Position
from notify.backplane.stats import BackplaneStats
from notify.domain.errors import Unavailable
from notify.domain.offset import Offset
from notify.redis.connector import Connector
from notify.redis.reconnecting import Reconnecting
from notify.redis.subscription import Subscription

MOST_GATHERED = 256
"""Channels to be subscribed to that wait for more."""
MAX_MESSAGE_BYTES = 17 * 1024 * 1024
"""What one message may have when nothing else is said: the largest payload that can be set, and its head."""

log = structlog.get_logger(__name__)


class Store(Echo, Logs, Protocol):
    """What the subscriber asks of the store. All raise Unavailable."""


class Listener(Protocol):
    """Who is told what the subscriber hears. Nothing in here may block or raise."""

    def deliver(self, pairs: Sequence[tuple[Room, Delivery]]) -> None:
        """Messages of channels, in the order of their offsets."""

    def heard(self, topic: bytes, payload: bytes) -> None:
        """A message on one of the other topics."""

    def gap(self, rooms: Sequence[Room], reason: str) -> None:
        """What these channels' members missed cannot be had any more: they must be told."""


class Subscriber:
    """Keeps the connection and the subscriptions; hands on what comes, whole and in order."""

    def __init__(
        self,
        *,
        connector: Connector,
        store: Store,
        topic_prefix: str,
        node_topic: str,
        other_topics: Sequence[str],
        stats: BackplaneStats,
        window_s: float,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """`other_topics` are listened to beside the channels' and the node's own."""
        self.listener: Listener | None = None
        self.on_resubscribed: Callable[[], None] | None = None
        """Called when the node hears again, after it may have missed messages to all nodes."""
        self.more_come: Callable[[], bool] = lambda: False
        """Others are in already who will want channels too, so that it is worth waiting for them."""
        self._connector = connector
        self._store = store
        self._topic_prefix = topic_prefix
        self._other_topics = [topic.encode() for topic in (node_topic, *other_topics)]
        self._stats = stats
        self._window_s = window_s
        self._max_message_bytes = max_message_bytes
        self._rooms: dict[bytes, Room] = {}
        self._wanted: list[bytes] = []
        self._dropped: dict[bytes, Room] = {}
        self._flushing = False
        self._position = Position()
        self._gaps: dict[bytes, Room] = {}
        """Rooms whose members have yet to be told that something is missing."""
        self._held: list[tuple[Room, Delivery]] | None = None
        self._settling: deque[tuple[Offset, Callable[[], None]]] = deque()
        self.cuts = cuts.Cuts()
        """Where members move from node to node."""
        self._canary = Canary(store=store, topic=node_topic, stats=stats)
        self._last_canary: Heard | None = None
        self._connection: Subscription | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._kept = Reconnecting(
            self._connect,
            name="subscriber",
            on_lost=self._lost,
            on_failed=self._fail_waiters,
            on_back=self._back,
        )

    # -- life ---------------------------------------------------------------------------------------

    def rename(self, node_topic: str) -> None:
        """Give the node another topic of its own. Before the start."""
        self._other_topics[0] = node_topic.encode()
        self._canary.rename(node_topic)

    async def start(self) -> None:
        """Connect and hear the first canary. Raises Unavailable."""
        await self._kept.start()
        self._stats.subscribed = True
        self._watcher = asyncio.create_task(self._watch(), name="subscriber-canary")

    async def stop(self) -> None:
        """Unsubscribe from everything and close."""
        await self._kept.stop()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
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

    @property
    def last_seen(self) -> Offset | None:
        """Everything up to this offset, and at it, has been handed on. None before the first canary."""
        return self._position.complete

    async def _connect(self) -> Subscription:
        """A connection that is subscribed to everything, on which nothing is missing. Raises Unavailable."""
        self._held = []
        _, connection = await self._connector.open(
            Subscription(
                confirmed=self._confirm, received=self._receive, refused=self._refuse, failed=self._failed
            )
        )
        self._connection = connection
        try:
            # Each on its own: an ACL that fences the prefix refuses a plain channel of python-socketio.
            for topic in self._other_topics:
                connection.send("SUBSCRIBE", [topic])
            self._canary.restart()
            for room in self._rooms.values():
                room.ready = False
            self._dropped.clear()
            self._wanted = []
            connection.send("SUBSCRIBE", list(self._rooms))
            await self._catch_up(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _lost(self) -> None:
        self._stats.subscribed = False
        self._fail_waiters()

    def _back(self) -> None:
        self._stats.resubscriptions += 1
        self._stats.subscribed = True
        if self.on_resubscribed is not None:
            self.on_resubscribed()

    def _fail_waiters(self) -> None:
        for room in self._rooms.values():
            room.ready = False
            waiter, room.waiter = room.waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_exception(Unavailable("The subscription was lost", retry_after_s=1))
                waiter.exception()  # marks the exception as retrieved: there may be no waiter

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
                waiter.set_result(None)  # the waiters have left: there is nothing to wait for
            self._flush_soon()
            self._stats.topics = len(self._rooms)

    async def ready(self, room: Room) -> None:
        """Wait until a channel's subscription is confirmed. Raises Unavailable when the connection breaks."""
        if room.ready:
            return
        if not self.connected:
            raise Unavailable("This node is not subscribed: Redis is away", retry_after_s=1)
        if self._rooms.get(room.topic) is not room:
            return  # everybody in it has left: there is nothing to wait for
        if room.waiter is None:
            room.waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(room.waiter)

    async def all_ready(self, rooms: Sequence[Room]) -> None:
        """The same for many channels, given in the order in which they were opened.

        Redis confirms in that order, so whoever waits for the last one need hardly wait for any other.
        """
        for room in reversed(rooms):
            if not room.ready:
                await self.ready(room)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if len(self._wanted) < MOST_GATHERED and self.more_come():
            asyncio.get_running_loop().call_soon(self._flush)
            return
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

    def _failed(self, error: Exception) -> None:
        self._stats.malformed["failed"] += 1
        log.error("message_failed", exc_info=error)

    def _receive(self, messages: list[tuple[bytes, bytes]]) -> None:
        pairs: list[tuple[Room, Delivery]] = []
        rooms, most = self._rooms, self._max_message_bytes
        for topic, payload in messages:
            if len(payload) > most:
                self._stats.malformed["size"] += 1
                continue
            room = rooms.get(topic)
            if room is not None:
                try:
                    pairs.append((room, Delivery(payload)))
                except (ValueError, TypeError, RecursionError):
                    self._stats.malformed["topic"] += 1
            elif topic in self._other_topics:
                if pairs:
                    self._hand_on(pairs)
                    pairs = []
                try:
                    self._hear(topic, payload)
                except Exception as error:  # noqa: BLE001 - what one of them carries must not cost the others
                    self._failed(error)
        if pairs:
            self._hand_on(pairs)

    def _hand_on(self, pairs: list[tuple[Room, Delivery]]) -> None:
        self._stats.messages += len(pairs)
        if self._held is not None:
            self._held += pairs
            return
        if self.listener is not None:
            self.listener.deliver(pairs)
        self._reach(pairs)

    def _reach(self, pairs: list[tuple[Room, Delivery]]) -> None:
        if not self._position.heard(pairs):
            self._canary.ask_soon()  # of another epoch: only a canary can tell whether that is so
        if self._settling:
            self._settle()

    def _hear(self, topic: bytes, payload: bytes) -> None:
        if payload.startswith(b"canary "):
            heard = self._canary.hear(payload) if topic == self._other_topics[0] else None
            if heard is not None:
                self._last_canary = heard
                if self._held is None:
                    self._take_canary(heard)
                    self._stats.subscribed = True
        elif payload.startswith(cuts.HEAD):
            # While messages are held, those before it have not been handed on: nobody moves then.
            if topic == self._other_topics[0] and self._held is None:
                self.cuts.hear(payload)
        elif self.listener is not None:
            self.listener.heard(topic, payload)

    def _take_canary(self, heard: Heard) -> None:
        if not self._position.canary(heard.clock, heard.redis_ms):
            self._stats.epochs += 1
            log.error("epoch_changed", epoch=heard.clock.epoch)
            self._tell_gaps([room for room in self._rooms.values() if room.members], "epoch")
        if self._settling:
            self._settle()

    def when_reached(self, offset: Offset, action: Callable[[], None]) -> None:
        """Run `action` once everything up to `offset`, and at it, has been handed on: now, or by the next
        canary."""
        if self.reached(offset):
            action()
        else:
            self._settling.append((offset, action))

    def _settle(self) -> None:
        # Everything that waits came by one connection, so it is in order.
        waiting = self._settling
        while waiting and self.reached(waiting[0][0]):
            waiting.popleft()[1]()

    def reached(self, offset: Offset) -> bool:
        """True when everything up to `offset`, and at it, has been handed on."""
        return self._position.reached(offset)

    async def _watch(self) -> None:
        while True:
            if not await self._canary.watch():
                self._stats.subscribed = False
                if self._connection is not None:
                    self._connection.abort()

    # -- healing --------------------------------------------------------------------------------------

    async def _catch_up(self, connection: Subscription) -> None:
        """Read what was missed while nothing was heard, merge it with what is live again, and go on.

        Until then nothing that was found is acted on, and a connection that is lost meanwhile costs nothing:
        the next attempt reads again from the same place. Only gaps are remembered at once, because where
        reading begins may have moved by then.
        """
        await self._canary.barrier(connection)  # all subscriptions stand: what is published now is held
        missed: list[tuple[Room, Delivery]] = []
        if self._position.latest is not None:
            rooms = [room for room in self._rooms.values() if room.members]
            found = await read_missed(
                rooms, self._position, logs=self._store, stats=self._stats, window_s=self._window_s
            )
            missed = found.messages
            self._gaps.update((room.topic, room) for room in found.gaps)
            if found.restart is not None:
                self._stats.epochs += found.restart.epoch != self._position.latest.epoch
                self._position.restart(found.restart)
            # What the logs told is in: live ones up to there are among the held.
            await self._canary.barrier(connection)
        self._merge(missed)

    def _merge(self, missed: list[tuple[Room, Delivery]]) -> None:
        held, self._held = self._held or [], None
        merged: dict[tuple[bytes, Offset], tuple[Room, Delivery]] = {}
        for room, delivery in (*missed, *held):
            if merged.setdefault((room.topic, delivery.offset), (room, delivery))[1] is not delivery:
                self._stats.duplicates += 1
        self._stats.gap_messages += len(missed)
        pairs = sorted(merged.values(), key=_in_order)
        if pairs and self.listener is not None:
            self.listener.deliver(pairs)
        gaps, self._gaps = self._gaps, {}
        lost = [room for topic, room in gaps.items() if self._rooms.get(topic) is room]
        if lost:
            self._stats.gaps_lost += len(lost)
            log.error("gap_lost", channels=len(lost))
            self._tell_gaps(lost, "gap")
        if self._last_canary is not None:
            self._take_canary(self._last_canary)
        if pairs:
            self._reach(pairs)

    def _tell_gaps(self, rooms: list[Room], reason: str) -> None:
        if self.listener is not None:
            self.listener.gap(rooms, reason)


def _in_order(pair: tuple[Room, Delivery]) -> tuple[int, int, bool]:
    """By offset; of copies at one offset the user's is first, as from Redis: it alone tells of the inbox."""
    room, delivery = pair
    return delivery.offset.ms, delivery.offset.seq, room.channel.kind != "user"
