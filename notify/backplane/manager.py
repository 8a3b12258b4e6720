"""python-socketio's Redis manager, with a topic for each channel and nothing lost on the way."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog
from socketio.async_redis_manager import AsyncRedisManager
from socketio.packet import Packet

from notify.backplane.delivery import Delivery
from notify.backplane.membership import Member, Membership, Room
from notify.backplane.node_messages import PREFIX, NodeMessage, Publish, decode
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import Subscriber
from notify.domain.channel import Channel
from notify.domain.offset import Offset
from notify.protocol.engineio import Wire

SOCKETIO = "socketio"
"""The kind that malformed messages of python-socketio's managers are counted under."""
SOCKETIO_METHODS = frozenset({"emit", "callback", "disconnect", "enter_room", "leave_room", "close_room"})

AT_ONCE = 32
"""Messages of one read that are written in the same turn of the loop. Behind a read of more there is more to
come as a rule: then the next turn writes what several reads brought for a socket in one piece."""

log = structlog.get_logger(__name__)


class Writer(Protocol):
    """Holds what was sent to sockets until it is written (`gateway.engineio.flusher.Flusher`)."""

    def begin(self) -> None:
        """What is sent from here on is written by `flush`, not by a later turn of the loop."""

    def flush(self) -> None:
        """Write everything that is held."""


def _nothing(*_: object) -> None:
    """The default for the callbacks: does nothing."""


class RedisManager(Membership, AsyncRedisManager):  # type: ignore[misc]
    """Links the nodes.

    What python-socketio offers over nodes works as ever: `emit`, `call`, `enter_room`, `leave_room`,
    `close_room`, `disconnect`, and emits from an external `AsyncRedisManager`. An `emit` reaches the clients
    of this node through Redis too, so that the order is the same everywhere, and raises Unavailable when
    Redis is away. Notifications come by the subscriber, on the topics of the channels that are local.
    """

    def __init__(
        self,
        *,
        subscriber: Subscriber,
        publish: Publish,
        socketio_topic: str,
        stats: BackplaneStats,
        on_gap: Callable[[Sequence[Room], str], None],
        on_command: Callable[[NodeMessage], None],
        plain_channel: str | None = None,
        on_due: Callable[[str, int], None] = _nothing,
        on_gone: Callable[[str], None] = _nothing,
        traced: bool = False,
    ) -> None:
        """`plain_channel` is one on which other applications may publish: nodes do not obey each other there.

        `on_due`: something is due, at unix ms, in the inbox of a user who is connected here. `on_gone`: the
        last connection of a user to `/`, or to their own namespace, has left.
        `traced`: log a line for each message that is handed to members, with the request it came by.
        """
        super().__init__(channel=socketio_topic)
        self.subscriber = subscriber
        subscriber.listener = self
        self.writer: Writer | None = None
        """Set where sockets are: few messages then leave in the turn of the loop in which they came."""
        self._publish_on = publish
        self._stats = stats
        self._on_gap = on_gap
        self._on_command = on_command
        self._on_due = on_due
        self._on_gone = on_gone
        self._traced = traced
        self._tasks: set[asyncio.Task[Any]] = set()
        self._overlap_offset: Offset | None = None
        self._overlap_seen: set[Member] = set()
        self._socketio_topic = socketio_topic.encode()
        self._plain_channel = plain_channel.encode() if plain_channel is not None else None

    def initialize(self) -> None:
        """Nothing to start: the app starts the subscriber before the first client comes."""

    async def stop(self) -> None:
        """Cancel what was begun for other nodes and is still running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- rooms --------------------------------------------------------------------------------------

    def room_opened(self, room: Room) -> None:
        """Subscribe to a channel that has its first member here."""
        self.subscriber.add(room)

    def room_emptied(self, room: Room) -> None:
        """Unsubscribe from a channel that has lost its last."""
        self.subscriber.remove(room)
        if room.channel.kind == "user" and room.channel.namespace == "/":
            self._on_gone(room.channel.name)

    def users(self) -> list[str]:
        """Who is connected here, to `/` or to their own namespace."""
        book = self.books.get("/")
        if book is None:
            return []
        return [
            room.channel.name for room in book.rooms.values() if room.channel.kind == "user" and room.members
        ]

    def has_user(self, user: str) -> bool:
        """True while such a connection of the user is here."""
        room = self.room("/", Channel("/", "user", user).room)
        return room is not None and bool(room.members)

    async def enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        """Put a client into a room, on whichever node it is; here, when its subscription stands."""
        await super().enter_room(sid, namespace, room, eio_sid=eio_sid)
        local = self.room(namespace, room)
        if local is not None and self.member(sid, namespace) is not None:
            await self.subscriber.ready(local)

    # -- python-socketio's own messages ---------------------------------------------------------------

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Emit to a sid, a room or a namespace, on all nodes. Raises Unavailable when Redis is away."""
        room = to or room
        if kwargs.get("ignore_queue"):
            self.emit_local(event, data, namespace or "/", room, skip_sid, callback)
            return
        await super().emit(event, data, namespace, room=room, skip_sid=skip_sid, callback=callback)

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        """Nothing: `emit` hands its message to this node first, but it comes from Redis like everyone's."""

    def _emit_received(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message.get("binary"):
            attachments = [base64.b64decode(text) for text in data[1:]]
            data = Packet.reconstruct_binary(data[0], attachments)
        if isinstance(data, list):  # of arguments; a single null stands for none, as in python-socketio
            data = data[0] if len(data) == 1 else tuple(data)
        callback = message.get("callback")
        self.emit_local(
            message["event"],
            data,
            message.get("namespace") or "/",
            message.get("room"),
            message.get("skip_sid"),
            partial(self._return_callback, message.get("host_id"), *callback) if callback else None,
        )

    async def _publish(self, data: dict[str, Any]) -> None:
        await self._publish_on(self.channel, json.dumps(data).encode())

    # -- what the subscriber hears --------------------------------------------------------------------

    def heard(self, topic: bytes, payload: bytes) -> None:
        """A message of python-socketio's managers, or one from node to node."""
        try:
            message = json.loads(payload)
            method = message["method"]
            if not isinstance(method, str):
                raise TypeError("a method is a string")
            if topic == self._socketio_topic:
                self._command_heard(message) if method.startswith(PREFIX) else self._socketio_heard(message)
            elif topic == self._plain_channel:
                self._socketio_heard(message)
            else:
                self._command_heard(message)
        except Exception as error:  # noqa: BLE001 - whatever it carries must not cost what comes after it
            # Nesting beyond what can be read or written is among them; the sizes were bounded before.
            kind = "node" if topic not in (self._socketio_topic, self._plain_channel) else SOCKETIO
            self._stats.malformed[kind] += 1
            log.debug(
                "message_skipped", topic=topic.decode(), reason=f"{type(error).__name__}: {error}"[:200]
            )

    def _command_heard(self, message: dict[str, Any]) -> None:
        self._on_command(decode(message))
        self._stats.commands[message["method"]] += 1

    def _socketio_heard(self, message: dict[str, Any]) -> None:
        method = message["method"]
        self._stats.commands[method if method in SOCKETIO_METHODS else "other"] += 1
        if method == "emit":
            self._emit_received(message)
        elif method == "callback":
            self._run(self._handle_callback(message))
        elif message.get("host_id") == self.host_id:
            pass  # done here already
        elif method == "disconnect":
            self._run(self._handle_disconnect(message))
        elif method == "enter_room":
            self._run(self._handle_enter_room(message))
        elif method == "leave_room":
            self._run(self._handle_leave_room(message))
        elif method == "close_room":
            self._run(self._handle_close_room(message))
        else:
            raise ValueError(f"python-socketio has no {method[:50]!r}")

    def _run(self, work: Any) -> None:
        """Run a handler until it waits for something; the rest runs as a task, so it holds nobody up."""
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            self._stats.malformed[SOCKETIO] += 1
            log.warning("socketio_message_failed", exc_info=True)

    def gap(self, rooms: Sequence[Room], reason: str) -> None:
        """What these channels missed is gone: their members are told."""
        self._on_gap(rooms, reason)

    def deliver(self, pairs: Sequence[tuple[Room, Delivery]]) -> None:
        """Messages of channels, in order: each is encoded once and written to all of its members.

        Messages in a row for one channel go out as one piece, so that each socket is touched once.
        """
        if self._traced:
            self._trace(pairs)
        writer = self.writer
        if writer is None or len(pairs) > AT_ONCE:
            self._deliver(pairs)
            return
        writer.begin()
        try:
            self._deliver(pairs)
        finally:
            writer.flush()

    def _deliver(self, pairs: Sequence[tuple[Room, Delivery]]) -> None:
        begin, count = 0, len(pairs)
        while begin < count:
            room, delivery = pairs[begin]
            end = begin + 1
            if delivery.for_all:
                while end < count and pairs[end][0] is room and pairs[end][1].for_all:
                    end += 1
            if end - begin == 1:
                if delivery.due_ms:
                    self._due(room, delivery)
                self._fan_out(room, delivery)
            else:
                run = [delivery for _, delivery in pairs[begin:end]]
                for delivery in run:
                    if delivery.due_ms:
                        self._due(room, delivery)
                self._fan_out_run(room, run)
            begin = end

    def _due(self, room: Room, delivery: Delivery) -> None:
        if room.channel.kind == "user":
            self._on_due(room.channel.name, delivery.due_ms)

    def _trace(self, pairs: Sequence[tuple[Room, Delivery]]) -> None:
        for room, delivery in pairs:
            log.debug(
                "delivered",
                request_id=delivery.trace.decode(),
                offset=str(delivery.offset),
                channel=room.channel.kind,
                members=len(room.members),
            )

    def _fan_out(self, room: Room, delivery: Delivery) -> None:
        members = room.members if isinstance(room.members, tuple) else tuple(room.members)
        seen: set[Member] | None = None
        if delivery.overlaps:
            if delivery.offset != self._overlap_offset:
                self._overlap_offset, self._overlap_seen = delivery.offset, set()
            seen = self._overlap_seen
        left_out = delivery.except_users
        for member in members:
            if left_out and member.user in left_out:
                continue
            if seen is not None:
                if member in seen:
                    continue
                seen.add(member)
            try:
                if member.replay_buffer is None:
                    member.socket.send(delivery.wire(member.variant))
                else:
                    member.replay_buffer.offer(delivery)
            except Exception:  # noqa: BLE001
                self._cut(member)
        self._stats.deliveries += len(members)

    def _cut(self, member: Member) -> None:
        """A failure for one member must not hold up the others; that member recovers on a new connection."""
        log.error("delivery_failed", exc_info=True)
        member.socket.abort("delivery failed")

    def _fan_out_run(self, room: Room, deliveries: list[Delivery]) -> None:
        members = room.members if isinstance(room.members, tuple) else tuple(room.members)
        wires: dict[tuple[str, bool], Wire] = {}
        for member in members:
            buffer = member.replay_buffer
            try:
                if buffer is None:
                    wire = wires.get(member.variant)
                    if wire is None:
                        wire = Wire.joined([delivery.wire(member.variant) for delivery in deliveries])
                        wires[member.variant] = wire
                    member.socket.send(wire)
                else:
                    for delivery in deliveries:
                        buffer.offer(delivery)
            except Exception:  # noqa: BLE001
                self._cut(member)
        self._stats.deliveries += len(members) * len(deliveries)
