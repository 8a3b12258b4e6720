"""python-socketio's Redis manager, with a topic for each channel and nothing lost on the way."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

import structlog
from socketio.async_redis_manager import AsyncRedisManager
from socketio.packet import Packet

from notify.backplane.delivery import Delivery
from notify.backplane.membership import Member, Membership, Room
from notify.backplane.stats import BackplaneStats
from notify.backplane.subscriber import Subscriber
from notify.domain.offset import Offset
from notify.domain.packet import Wire

PLAIN_CHANNEL = "socketio"
"""Where a plain `socketio.AsyncRedisManager(url, write_only=True)` of any process publishes."""

log = structlog.get_logger(__name__)


class Publish(Protocol):
    """Publishes on a Redis channel. Raises Unavailable."""

    def __call__(self, topic: str, message: bytes) -> Awaitable[Any]: ...


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
        on_hole: Callable[[Sequence[Room], str], None],
        on_command: Callable[[dict[str, Any]], None],
        traced: bool = False,
    ) -> None:
        """`traced`: log a line for each message that is handed to members, with the request it came by."""
        super().__init__(channel=socketio_topic)
        self.subscriber = subscriber
        subscriber.listener = self
        self._publish_on = publish
        self._stats = stats
        self._on_hole = on_hole
        self._on_command = on_command
        self._traced = traced
        self._tasks: set[asyncio.Task[Any]] = set()
        self._overlap_offset: Offset | None = None
        self._overlap_seen: set[Member] = set()
        self._topics = (socketio_topic.encode(), PLAIN_CHANNEL.encode())

    def initialize(self) -> None:
        """Nothing to start: the app starts the subscriber before the first client comes."""

    async def stop(self) -> None:
        """End what was begun for other nodes and has not ended."""
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
        callback = message.get("callback")
        self.emit_local(
            message["event"],
            tuple(data) if isinstance(data, list) else data,
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
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            self._stats.malformed["socketio" if topic in self._topics else "node"] += 1
            return
        self._stats.commands[_known(message["method"])] += 1
        if topic not in self._topics:
            self._on_command(message)
            return
        own = message.get("host_id") == self.host_id
        method = message["method"]
        if method == "emit":
            try:
                self._emit_received(message)
            except (KeyError, TypeError, ValueError, IndexError):
                self._stats.malformed["socketio"] += 1
        elif method == "callback":
            self._run(self._handle_callback(message))
        elif own:
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
            self._on_command(message)

    def _run(self, work: Any) -> None:
        """Step a handler now; what does not end at once goes on as a task, and holds nobody up."""
        task = asyncio.ensure_future(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            self._stats.malformed["socketio"] += 1
            log.warning("socketio_message_failed", exc_info=True)

    def hole(self, rooms: Sequence[Room], reason: str) -> None:
        """What these channels missed is gone: their members are told."""
        self._on_hole(rooms, reason)

    def deliver(self, pairs: Sequence[tuple[Room, Delivery]]) -> None:
        """Messages of channels, in order: each is encoded once and written to all of its members.

        Messages in a row for one channel go out as one piece, so that each socket is touched once.
        """
        if self._traced:
            self._trace(pairs)
        begin, count = 0, len(pairs)
        while begin < count:
            room, delivery = pairs[begin]
            end = begin + 1
            if _for_all(delivery):
                while end < count and pairs[end][0] is room and _for_all(pairs[end][1]):
                    end += 1
            if end - begin == 1:
                self._fan_out(room, delivery)
            else:
                self._fan_out_run(room, [delivery for _, delivery in pairs[begin:end]])
            begin = end

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
                if member.gate is None:
                    member.socket.send(delivery.wire(member.form))
                else:
                    member.gate.offer(delivery)
            except Exception:  # noqa: BLE001
                self._cut(member)
        self._stats.deliveries += len(members)

    def _cut(self, member: Member) -> None:
        """What fails for one member must not keep the others waiting; it recovers on a new connection."""
        log.error("delivery_failed", exc_info=True)
        member.socket.abort("delivery failed")

    def _fan_out_run(self, room: Room, deliveries: list[Delivery]) -> None:
        members = room.members if isinstance(room.members, tuple) else tuple(room.members)
        wires: dict[tuple[str, bool], Wire] = {}
        for member in members:
            gate = member.gate
            try:
                if gate is None:
                    wire = wires.get(member.form)
                    if wire is None:
                        wire = Wire.joined([delivery.wire(member.form) for delivery in deliveries])
                        wires[member.form] = wire
                    member.socket.send(wire)
                else:
                    for delivery in deliveries:
                        gate.offer(delivery)
            except Exception:  # noqa: BLE001
                self._cut(member)
        self._stats.deliveries += len(members) * len(deliveries)


def _for_all(delivery: Delivery) -> bool:
    return not delivery.overlaps and not delivery.except_users


def _known(method: str) -> str:
    known = ("emit", "callback", "disconnect", "enter_room", "leave_room", "close_room")
    return method if method in known or method.startswith("notify:") else "other"
