"""Sessions that leave for another node, to which their client's websocket has come.

The client has stopped polling by then: whatever was answered to its polls it has. So what is still queued
goes with the session, as it is, and the other node delivers what comes after the cut (`backplane.cuts`).
Until the session is let go, which is one step, it can go on here as if nothing had happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from notify.backplane.cuts import Cuts
from notify.backplane.delivery import Delivery
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.errors import NotifyError
from notify.gateway.engineio.server import Engine
from notify.gateway.engineio.timers import Bucket
from notify.gateway.http.errors import BAD_REQUEST, TAKEN, UNKNOWN_SID, Refused
from notify.gateway.sessions.expiry import Expiry
from notify.gateway.sessions.moved import Description, HandedOver, MovedMember, Order
from notify.gateway.sessions.rooms import Rooms
from notify.gateway.socketio.client import ClientSocket
from notify.protocol.engineio import Wire

REST_S = 2.0
"""How long what the client has sent may still be handled here, once its websocket is to take over."""
CUT_S = 2.0
"""How long the cut may take to come."""
LONGEST_S = 8.0
"""How long a move may take from the moment when the websocket is to take over."""
LOOK_EVERY_S, LOOK_SELDOM_S = 0.005, 0.25

log = structlog.get_logger(__name__)


class Held:
    """Keeps what comes for a member behind the cut, should the member stay."""

    deaf = False
    __slots__ = ("_limit", "_member", "_size", "_wires")

    def __init__(self, member: Member, *, limit: int) -> None:
        self._member = member
        self._limit = limit
        self._size = 0
        self._wires: list[Wire] = []

    def offer(self, delivery: Delivery) -> None:
        """Keep a message. Past the limit the member is a slow consumer, like any other."""
        self.emit(delivery.wire(self._member.variant))

    def emit(self, wire: Wire) -> None:
        """Keep a packet."""
        self._wires.append(wire)
        self._size += wire.size
        if self._size > self._limit:
            self._wires.clear()
            self._member.socket.too_slow()

    def release(self) -> None:
        """The member stays."""
        if self._member.replay_buffer is self:
            self._member.replay_buffer = None
            for wire in self._wires:
                self._member.socket.send(wire)


class Departure:
    """Stands on a session for the websocket that is at the other node (`engineio.socket.UpgradeProbe`)."""

    __slots__ = (
        "_bucket",
        "_held",
        "_size",
        "_taken",
        "answered",
        "asker",
        "decision",
        "digest",
        "elsewhere",
        "ended",
        "socket",
    )

    def __init__(self, socket: ClientSocket, asker: object) -> None:
        self.socket = socket
        self.asker = asker
        self.answered = False
        self.ended = False
        self.elsewhere = True
        self.decision: asyncio.Future[None] | None = None
        self.digest = ""
        """Of the description by which it may be taken; empty while it has not been cut."""
        self._held: list[Held] = []
        self._taken: list[Wire] = []
        self._size = 0
        host = socket.host
        self._bucket: Bucket[Any] = host.deadlines.add(self, host.upgrade_timeout_s + LONGEST_S)

    def on_deadline(self) -> None:
        """The other node did not go on in time."""
        self.fail()

    def leave_when_complete(self, frames: bytes) -> None:
        """The session is over: the other node will not find it, and have the client come back."""
        self.end()

    def fail(self) -> None:
        """The session stays, or is over."""
        self.resume()
        self.end()

    def end(self) -> None:
        """It is done with."""
        self.ended = True
        self._bucket.discard(self)
        if self.socket.probe is self:
            self.socket.probe = None
        if self.decision is not None and not self.decision.done():
            self.decision.set_result(None)

    def gone_over(self) -> None:
        """The client has: requests that still come wait until it is decided where the session is."""
        if self.decision is None:
            self.decision = asyncio.get_running_loop().create_future()
            if self.socket.polling is not None:
                self.socket.polling.set_aside()

    @property
    def at_rest(self) -> bool:
        """True while nothing changes but what is queued."""
        socket = self.socket
        return socket.at_rest and all(member.state == Member.CONNECTED for member in socket.members)

    def take_queue(self) -> None:
        """Put aside what is queued: handlers may wait for that, and no poll is going to fetch it.

        Past twice what a client may leave in its queue it is a slow consumer, like any other.
        """
        queue = self.socket.take()
        self._taken += queue
        self._size += sum(wire.size for wire in queue)
        if self._size > 2 * self.socket.host.send_buffer_limit:
            self.socket.too_slow()

    def freeze(self) -> bool:
        """The cut: what is live is not for this node any more. False when the session is not at rest."""
        if self.ended or not self.at_rest:
            return False
        for member in self.socket.members:
            held = Held(member, limit=self.socket.host.send_buffer_limit)
            member.replay_buffer = held
            self._held.append(held)
        return True

    def resume(self) -> None:
        """The session stays: send what was put aside, then what has come behind the cut."""
        self.digest = ""
        taken, self._taken, self._size = self._taken, [], 0
        self.socket.put_back(taken)
        held, self._held = self._held, []
        for one in held:
            one.release()

    def wires(self) -> Sequence[Wire]:
        """All that the client has not been sent."""
        return (*self._taken, *self.socket.take())


class MovingOut:
    """What other nodes ask of the sessions of this one."""

    def __init__(
        self,
        *,
        engine: Engine,
        manager: RedisManager,
        rooms: Rooms,
        expiry: Expiry,
        cuts: Cuts,
        publish_cut: Callable[[Sequence[str], str], Awaitable[None]],
        node_topic: Callable[[str], str],
        node_id: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._manager = manager
        self._rooms = rooms
        self._expiry = expiry
        self._cuts = cuts
        self._publish_cut = publish_cut
        self._node_topic = node_topic
        self._node_id = node_id

    def may_move(self, sid: str, asker: object) -> None:
        """A websocket for the session has come to the node of `asker`. Raises `Refused`.

        With `TAKEN` when the session has, or is getting, another one.
        """
        socket = self._engine.sockets.get(sid)
        if not isinstance(socket, ClientSocket) or socket.reason is not None:
            raise Refused(TAKEN if sid in self._engine.moved_away else UNKNOWN_SID)
        if socket.polling is None or socket.probe is not None:
            raise Refused(TAKEN)
        socket.probe = Departure(socket, asker)

    async def probe(self, sid: str, asker: object) -> bytes:
        """Nothing, once the client may be told to go ahead: polls do not wait any more. Raises `Refused`.

        A session is not moved while the client waits to be let in, which in a storm may take long.
        """
        departure = self._departure(sid, asker)
        if departure is None:
            raise Refused(UNKNOWN_SID)
        pause_s = LOOK_EVERY_S
        while departure.socket.connecting:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_SELDOM_S)
            if departure.ended:
                raise Refused(UNKNOWN_SID)
        departure.answered = True
        if departure.socket.polling is not None:
            departure.socket.polling.release()
        return b""

    def stays(self, sid: str, asker: object) -> None:
        """The websocket has failed: long-polling goes on."""
        departure = self._departure(sid, asker)
        if departure is not None:
            departure.fail()

    async def describe(self, sid: str, asker: object) -> bytes:
        """The session, once it is at rest. Raises `Refused`."""
        departure = self._departure(sid, asker)
        if departure is None:
            raise Refused(UNKNOWN_SID)
        departure.gone_over()
        departure.resume()  # after a cut that the other node has not heard
        await self._at_rest(departure)
        description = self._describe(departure.socket)
        if not description.members:
            departure.digest = description.digest  # nothing is delivered to it that could be cut
        return description.encode()

    async def cut(self, sid: str, asker: object, order: bytes) -> bytes:
        """Nothing, once the cut was heard here. What is live behind it is kept, should the session stay.

        Raises `Refused`: then nothing has happened.
        """
        departure = self._departure(sid, asker)
        if departure is None:
            raise Refused(UNKNOWN_SID)
        departure.resume()
        try:
            await self._cut(departure, Order.decode(order))
        except (ValueError, NotifyError, TimeoutError) as error:
            departure.resume()
            raise Refused(BAD_REQUEST, str(error) or type(error).__name__) from error
        except BaseException:
            departure.resume()
            raise
        return b""

    async def take(self, sid: str, asker: object) -> bytes:
        """Hand over the session, which has been cut: from here on the other node alone has it.

        Raises `Refused`: it stays here, with everything. It may have changed since it was described.
        """
        departure = self._departure(sid, asker)
        if departure is None:
            raise Refused(UNKNOWN_SID)
        digest = departure.digest
        try:
            await self._at_rest(departure)
            if not digest or self._describe(departure.socket).digest != digest:
                raise Refused(BAD_REQUEST, "The session has changed")
            return self._let_go(departure)
        except BaseException:
            departure.resume()
            raise

    async def _cut(self, departure: Departure, order: Order) -> None:
        cut: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def freeze() -> None:
            if not cut.done():
                cut.set_result(departure.freeze())

        self._cuts.expect(order.token, freeze)
        try:
            topics = [self._node_topic(self._node_id()), self._node_topic(order.node)]
            async with asyncio.timeout(CUT_S):
                await self._publish_cut(topics, order.token)
                frozen = await cut
        finally:
            self._cuts.forget(order.token)
        if not frozen:
            raise Refused(BAD_REQUEST, "The session is busy")
        # What came just before the cut may have begun something: let it begin, then let it end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        departure.digest = order.digest

    def _departure(self, sid: str, asker: object) -> Departure | None:
        socket = self._engine.sockets.get(sid)
        probe = socket.probe if socket is not None else None
        return probe if isinstance(probe, Departure) and probe.asker is asker else None

    async def _at_rest(self, departure: Departure) -> None:
        """Wait until nothing that the client has sent is being handled. Raises `Refused`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + REST_S
        while True:
            if departure.ended:
                raise Refused(UNKNOWN_SID)
            departure.take_queue()
            if departure.at_rest and not any(map(self._rooms.busy, departure.socket.members)):
                return
            if loop.time() > until:
                raise Refused(BAD_REQUEST, "The session is busy")
            await asyncio.sleep(LOOK_EVERY_S)

    def _describe(self, socket: ClientSocket) -> Description:
        """Raises `Refused`."""
        try:
            return Description(self._node_id(), tuple(MovedMember.of(member) for member in socket.members))
        except ValueError as error:
            raise Refused(BAD_REQUEST, str(error)) from error

    def _let_go(self, departure: Departure) -> bytes:
        """One step: after it nothing of the session is here, and nothing in Redis has been touched."""
        manager, socket = self._manager, departure.socket
        handed = HandedOver(
            departure.wires(),
            [
                (member.namespace, ack)
                for member in socket.members
                for ack in manager.acks_under_way(member.sid)
            ],
            self._engine.heartbeat.beat_of(socket),
            [member.namespace for member in socket.members if self._expiry.warned(member)],
        ).encode()
        departure.end()
        for member in socket.members:
            self._expiry.discard(member)
            kept = manager.own_callbacks(member.sid)
            manager.expel(member)
            if kept:
                manager.callbacks[member.sid] = kept
        self._engine.release_moved(socket)
        return handed
