"""One Engine.IO connection, whichever transport carries it."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Protocol

from notify.gateway.engineio.host import SocketHost
from notify.gateway.engineio.packet import CLOSE, NOOP, PING
from notify.gateway.engineio.timers import Bucket
from notify.gateway.engineio.transports.polling import Polling
from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from notify.protocol.engineio import Wire, joined
from notify.protocol.websocket import POLICY_VIOLATION

MOVED = "moved"
"""Why a connection has ended here whose session has gone to another node."""
_BROKEN = frozenset((1002, 1003, 1007, 1008, 1009, 1011))
"""Codes of a websocket's end that tell of a fault (RFC 6455 section 7.4.1)."""


class UpgradeProbe(Protocol):
    """A websocket that asks to take over from long-polling."""

    answered: bool
    """The client has been told to go ahead: from now on polls must not wait."""
    elsewhere: bool
    """The websocket is at another node."""
    decision: asyncio.Future[None] | None
    """Set once the client has gone over to another node: requests wait until it is done."""

    def leave_when_complete(self, frames: bytes) -> None:
        """The session is over: once the client has gone over, write the frames, and end the stream."""

    def fail(self) -> None:
        """End the attempt."""


class EngineSocket:
    """An Engine.IO v4 session: a queue in front of a transport. The layers above derive theirs from it.

    Sending never blocks. What is sent in one turn of the loop leaves in one write. While the transport does
    not take more, packets wait here, by reference and bounded in bytes; past the bound the peer is a slow
    consumer and the connection is aborted.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_base",
        "_queued",
        "_session",
        "_waiting",
        "awaiting_pong",
        "bucket",
        "deadline",
        "held",
        "host",
        "polling",
        "probe",
        "queue",
        "reason",
        "sid",
        "websocket",
    )

    def __init__(
        self, host: SocketHost[Any], sid: str, *, polling: Polling | None, address: str | None
    ) -> None:
        self.host = host
        self.sid = sid
        self.websocket: WebSocketProtocol | None = None
        self.polling = polling
        self.probe: UpgradeProbe | None = None
        self.queue: list[Wire] | None = None
        self._queued = 0
        """Bytes in the queue, and in the transport's buffer when the queue was begun."""
        self._base = 0
        self._waiting: list[asyncio.Future[None]] | None = None
        self.held = False
        """The websocket's buffer is full: nothing is written until it has drained."""
        self.reason: str | None = None
        """Why the connection has ended, in python-engineio's words; None while it is open."""
        self.bucket: Bucket[Any] | None = None
        self.awaiting_pong = False
        self.deadline: Bucket[Any] | None = None
        """Set until a namespace is connected: a client that never sends CONNECT is not kept."""
        self._session: dict[str, Any] | None = None
        self._address = address

    # -- what it is -------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True once the connection has ended."""
        return self.reason is not None

    @property
    def upgraded(self) -> bool:
        """True on websocket, whether it began there or not."""
        return self.websocket is not None

    @property
    def transport(self) -> str:
        """`polling` or `websocket`."""
        return "polling" if self.websocket is None else "websocket"

    @property
    def address(self) -> str:
        """The client's IP address; behind trusted proxies, the one they report."""
        if self._address is None:
            return self.websocket.peer if self.websocket is not None else ""
        return self._address

    @property
    def session(self) -> dict[str, Any]:
        """What the application keeps with this connection (`AsyncServer.session`)."""
        if self._session is None:
            self._session = {}
        return self._session

    @session.setter
    def session(self, session: dict[str, Any]) -> None:
        self._session = session

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent: here and in the websocket's buffer."""
        queued = sum(wire.size for wire in self.queue) if self.queue is not None else 0
        return queued + (self.websocket.buffered if self.websocket is not None else 0)

    # -- sending ----------------------------------------------------------------------------------

    def send(self, wire: Wire) -> None:
        """Queue packets for the end of this turn of the loop. Does nothing on a closed connection.

        May find the peer to be a slow consumer: then the connection is closed, and those above hear of it in
        the next turn, so this can be called while walking the members of a room.
        """
        if self.queue is None:
            if self.reason is not None:
                return
            self.queue = [wire]
            if self.held and self.websocket is not None:
                self._base = self._counted(self.websocket.buffered)
                self._queued = self._base + wire.size
                if self._queued > self.host.send_buffer_limit:
                    self._overflow()
            else:
                self._queued = self._counted(wire.size)
                self.host.flusher.add(self)
        else:
            self.queue.append(wire)
            self._queued += wire.size
            if self._queued > self.host.send_buffer_limit:
                self._overflow()

    def flush(self) -> None:
        """Write what is queued, in one piece, if the transport takes it now."""
        queue = self.queue
        if queue is None or self.held:
            return
        websocket = self.websocket
        if websocket is None:
            if self.polling is not None and self.polling.waits:
                self.polling.answer(self.take())
            return
        self.queue = None
        frames = queue[0].frames if len(queue) == 1 else b"".join([wire.frames for wire in queue])
        self.host.stats.bytes_out += len(frames)
        websocket.write(frames)
        if self._waiting is not None and not self.held:
            self._wake()

    def take_over(self, websocket: WebSocketProtocol, *, held: bool) -> None:
        """The upgrade is complete: from now on everything leaves by the websocket.

        `held`: its buffer is full already. A poll that still waits is ended with a NOOP.
        """
        self.probe = None
        polling, self.polling = self.polling, None
        websocket.hand_to(self)
        self.websocket = websocket
        self.held = held
        self.host.upgraded(self)
        if polling is not None:
            polling.answer(NOOP)
        self.flush()

    def arrive(self, websocket: WebSocketProtocol, wires: Sequence[Wire], *, held: bool) -> None:
        """The session has come from another node, and `wires` are what that one had not sent yet.

        They go ahead of what was queued here. `held`: the websocket's buffer is full already.
        """
        here, self.queue = self.queue or [], None
        websocket.hand_to(self)
        self.websocket = websocket
        self.held = held
        for wire in (*wires, *here):
            self.send(wire)
        self.flush()

    def depart(self) -> None:
        """The session has gone to another node, with its queue: nobody is told, here or there."""
        polling, self.polling = self.polling, None
        self.probe = None
        self.reason = MOVED
        self.queue = None
        self.let_go()
        if self._waiting is not None:
            self._wake()
        if polling is not None:
            polling.answer(NOOP)

    def put_back(self, wires: Sequence[Wire]) -> None:
        """Queue packets again, ahead of the others: `take` has taken them, and they have not been sent."""
        if self.reason is None and wires:
            queue, self.queue = self.queue or [], None
            for wire in (*wires, *queue):
                self.send(wire)

    def take(self) -> list[Wire]:
        """The queue, for a poll's answer. It is empty afterwards."""
        queue, self.queue = self.queue or [], None
        if self._waiting is not None:
            self._wake()
        return queue

    async def drained(self) -> bool:
        """Wait until the transport has taken all that was sent so far. False when the connection is closed.

        For senders of much at once, who must stay below the limit of the send buffer.
        """
        while self.reason is None and (self.queue is not None or self.held):
            future = asyncio.get_running_loop().create_future()
            if self._waiting is None:
                self._waiting = []
            self._waiting.append(future)
            await future
        return self.reason is None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting or (), None
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def ping(self) -> None:
        """Send a PING ahead of whatever is queued."""
        if self.websocket is not None:
            self.websocket.begin_interval()
        elif self.polling is not None:
            self.polling.begin_interval()
        if self.websocket is not None and not self.held:
            self.websocket.write(PING.frames)
        elif self.queue is None:
            self.send(PING)
        else:
            self.queue.insert(0, PING)

    def _overflow(self) -> None:
        """The queue is past its limit. That is a slow consumer unless it can be written now."""
        websocket = self.websocket
        if websocket is None:
            if self.polling is not None and self.polling.waits:
                self.flush()
                return
        elif not self.held:
            self.flush()
            return
        else:
            drained = self._base - self._counted(websocket.buffered)
            if drained > self.host.send_buffer_limit // 8:
                # The peer does read: what it has taken since the queue was begun does not count any more.
                self._base -= drained
                self._queued -= drained
                if self._queued <= self.host.send_buffer_limit:
                    return
        self.too_slow()

    def _counted(self, buffered: int) -> int:
        """What the transport's buffer counts for, or what a poll that is to come will find.

        More than the limit is in there only when that much was sent at once, as a replay may be: a peer that
        takes it is not slow, and has half the limit for what comes behind it.
        """
        limit = self.host.send_buffer_limit
        return buffered if buffered <= limit else limit // 2

    def too_slow(self) -> None:
        """Abort the connection of a slow consumer. Those above hear of it in the next turn of the loop."""
        if self.reason is None:
            self.host.stats.slow_consumers += 1
            self.abort(self.host.reason.TRANSPORT_ERROR)

    # -- reading ----------------------------------------------------------------------------------

    async def caught_up(self) -> None:
        """Wait until packets are taken again: how a long-polling client is slowed down."""

    def let_go(self) -> None:
        """The session has ended: forget what was kept for reading on."""

    # -- ending -----------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """Send what is queued, then end the transport, in the way that its protocol calls orderly.

        A JavaScript client reconnects all the same; some others take it for a wish that they stay away.
        """
        if self.reason is not None:
            return
        websocket = self.websocket
        if websocket is not None:
            self.held = False
            self.flush()
            self._end(reason, later=True)
            websocket.close()
        else:
            polling, queue = self.polling, self.take()
            self._end(reason, later=True)
            if polling is not None:
                # CLOSE comes by a poll of its own: packets in the same body as CLOSE are handled by
                # JavaScript clients after it, that is after they have reconnected.
                self._last_polls(polling, *([joined(queue)] if queue else []), CLOSE)

    def close_transport(self, reason: str | None = None) -> None:
        """Send what is queued, then end the transport so that the client comes back, to this node or another.

        Nothing says that it was meant: the websocket's stream ends, a poll finds its session unknown.
        """
        if self.reason is not None:
            return
        reason = reason or self.host.reason.SERVER_DISCONNECT
        websocket, polling = self.websocket, self.polling
        if websocket is not None:
            self.held = False
            self.flush()
            self._end(reason, later=True)
            websocket.leave()
        elif polling is not None:
            queue, probe = self.take(), self.probe
            if probe is not None and probe.answered and not polling.waits:
                # The client has stopped polling, and would miss an end there until no ping comes.
                self.probe = None
                probe.leave_when_complete(b"".join([wire.frames for wire in queue]))
                self._end(reason, later=True)
                return
            self._end(reason, later=True)
            if queue:
                self._last_polls(polling, joined(queue))
            else:
                polling.turn_away()

    def abort(self, reason: str) -> None:
        """End the connection without a word, dropping what is queued. The client comes back."""
        if self.reason is None:
            websocket, polling = self.websocket, self.polling
            self._end(reason, later=True)
            if websocket is not None:
                websocket.abort()
            elif polling is not None:
                polling.turn_away()

    def on_deadline(self) -> None:
        """The client has not connected to anything in time."""
        self.host.connect_timed_out(self)

    def ping_timed_out(self) -> None:
        """The peer has not answered a PING in time."""
        self.abort(self.host.reason.PING_TIMEOUT)

    def protocol_error(self) -> None:
        """The peer has sent what it must not: the connection is closed at once."""
        if self.reason is None:
            self.host.stats.protocol_errors += 1
            websocket, polling = self.websocket, self.polling
            self._end(self.host.reason.TRANSPORT_ERROR)
            if websocket is not None:
                websocket.close()
            elif polling is not None:
                polling.answer(CLOSE)

    def _end(self, reason: str, *, later: bool = False) -> None:
        """Let go of everything, and tell those above: later, when the caller may be walking a room."""
        self.reason = reason
        self.queue = None
        self.let_go()
        if self.probe is not None:
            self.probe.fail()
        if self._waiting is not None:
            self._wake()
        if later:
            asyncio.get_running_loop().call_soon(self.host.socket_ended, self, reason)
        else:
            self.host.socket_ended(self, reason)

    # -- what the transports report (WebSocketOwner, PollingOwner) ----------------------------------

    @property
    def upgrading(self) -> bool:
        """True while a websocket is taking over: polls must not wait."""
        return self.probe is not None and self.probe.answered

    @property
    def leaving(self) -> bool:
        """True while a websocket at another node is to take over, or may be."""
        return self.probe is not None and self.probe.elsewhere

    def polling_failed(self) -> None:
        """A poll was given up, or came twice: packets may have been lost with it."""
        if self.reason is None and self.polling is not None:
            polling = self.polling
            self._end(self.host.reason.TRANSPORT_ERROR, later=True)
            polling.answer(CLOSE)

    def flooded(self) -> None:
        """The client sends more than any client does: the connection is closed at once."""
        if self.reason is None:
            self.host.stats.floods += 1
            self.protocol_error()

    @property
    def survives(self) -> bool:
        """False once the connection has ended by what a POST brought, unless that said so itself."""
        return self.reason in (None, self.host.reason.CLIENT_DISCONNECT)

    def text_received(self, text: str) -> None:
        """An Engine.IO packet, on either transport."""
        kind = text[:1]
        if kind == "4":
            self.host.text_received(self, text[1:])
        elif kind == "3":
            self.host.heartbeat.pong(self)
        elif kind == "1":
            self._end_by_client()
        elif kind == "b":  # binary for those who cannot send it: polling, and websockets with `forceBase64`
            try:
                data = b64decode(text[1:], validate=True)
            except (binascii.Error, ValueError):
                self.protocol_error()
            else:
                self.binary_received(data)
        elif kind not in ("0", "5", "6"):  # which say nothing here
            self.protocol_error()

    def binary_received(self, data: bytes) -> None:
        """A binary message, on either transport."""
        self.host.binary_received(self, data)

    def writing_paused(self) -> None:
        """The peer reads more slowly than we write."""
        self.held = True

    def writing_resumed(self) -> None:
        """The peer has caught up."""
        self.held = False
        self._base = 0
        self.flush()
        if self._waiting is not None and not self.held:
            self._wake()

    def connection_closed(self, code: int, clean: bool) -> None:
        """The websocket is over."""
        if self.reason is None:
            self.host.stats.floods += code == POLICY_VIOLATION
            reasons = self.host.reason
            self._end(reasons.TRANSPORT_ERROR if code in _BROKEN else reasons.TRANSPORT_CLOSE)
        self.host.websocket_closed(self)

    def _end_by_client(self) -> None:
        """CLOSE: the client is done. A poll ends with a NOOP, a websocket with a close frame."""
        if self.reason is None:
            websocket, polling = self.websocket, self.polling
            self._end(self.host.reason.CLIENT_DISCONNECT)
            if websocket is not None:
                websocket.close()
            elif polling is not None:
                # The GET may have been overtaken by the POST that brought this.
                self._last_polls(polling, NOOP)

    def _last_polls(self, polling: Polling, *bodies: bytes) -> None:
        """The session is over in good order: the GET that waits and the next ones get one body each."""
        if polling.waits:
            polling.answer(bodies[0])
            bodies = bodies[1:]
        if bodies:
            self.host.keep_last_polls(self.sid, bodies)
