"""One Engine.IO connection, whichever transport carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from notify.domain.packet import Wire, joined
from notify.gateway.backlog import Backlog
from notify.gateway.heartbeat import Bucket

if TYPE_CHECKING:
    from notify.backplane.membership import Member
    from notify.gateway.connecting import Connecting
    from notify.gateway.engine import Engine
    from notify.gateway.packets import Packet, Partial
    from notify.gateway.polling import Polling
    from notify.gateway.upgrade import Probe
    from notify.gateway.websocket import WebSocketProtocol

PING = Wire(b"2")
CLOSE, NOOP = b"1", b"6"
NORMAL, GOING_AWAY = 1000, 1001
"""Codes of a websocket's end (RFC 6455 section 7.4.1)."""
_BROKEN = frozenset((1002, 1003, 1007, 1009, 1011))


class EngineSocket:
    """An Engine.IO v4 session: a queue in front of a transport, and what the layers above keep with it.

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
        "backlog",
        "bucket",
        "connecting",
        "deadline",
        "engine",
        "held",
        "members",
        "partial",
        "polling",
        "probe",
        "queue",
        "reason",
        "running",
        "sid",
        "websocket",
    )

    def __init__(self, engine: Engine, sid: str, *, polling: Polling | None, address: str | None) -> None:
        self.engine = engine
        self.sid = sid
        self.websocket: WebSocketProtocol | None = None
        self.polling = polling
        self.probe: Probe | None = None
        """A websocket that asks to take over from long-polling."""
        self.queue: list[Wire] | None = None
        self._queued = 0
        """Bytes in the queue, and in the transport's buffer when the queue was begun."""
        self._base = 0
        self.held = False
        """The websocket's buffer is full: nothing is written until it has drained."""
        self.reason: str | None = None
        """Why the connection has ended, in python-engineio's words; None while it is open."""
        self.bucket: Bucket[Any] | None = None
        self.awaiting_pong = False
        self.deadline: Bucket[Any] | None = None
        """Set until a namespace is connected: a client that never sends CONNECT is not kept."""
        self.members: tuple[Member, ...] = ()
        self.connecting: tuple[Connecting, ...] = ()
        """Namespaces whose connect handler has not answered yet."""
        self.partial: Partial | None = None
        """An event whose binary attachments are still coming in."""
        self.running = 0
        """Event handlers of this client that have not returned."""
        self.backlog: Backlog | None = None
        """Packets that wait for those handlers; None while they need not."""
        self._session: dict[str, Any] | None = None
        self._address = address
        self._waiting: list[asyncio.Future[None]] | None = None

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
                if self._queued > self.engine.send_buffer_limit:
                    self._overflow()
            else:
                self._queued = wire.size
                self.engine.flusher.add(self)
        else:
            self.queue.append(wire)
            self._queued += wire.size
            if self._queued > self.engine.send_buffer_limit:
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
        self.engine.stats.bytes_out += len(frames)
        websocket.write(frames)
        if self._waiting is not None and not self.held:
            self._wake()

    def take(self) -> list[Wire]:
        """The queue, for a poll's answer. It is empty afterwards."""
        queue, self.queue = self.queue or [], None
        if self._waiting is not None:
            self._wake()
        return queue

    def ping(self) -> None:
        """Send a PING ahead of whatever is queued."""
        if self.websocket is not None and not self.held:
            self.websocket.write(PING.frames)
        elif self.queue is None:
            self.send(PING)
        else:
            self.queue.insert(0, PING)

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
            if drained > self.engine.send_buffer_limit // 8:
                # The peer does read: what it has taken since the queue was begun does not count any more.
                self._base -= drained
                self._queued -= drained
                if self._queued <= self.engine.send_buffer_limit:
                    return
        self.too_slow()

    def _counted(self, buffered: int) -> int:
        """What the transport's buffer counts for.

        More than the limit is in there only when that much was sent at once, as a replay may be: a peer that
        takes it is not slow, and has half the limit for what comes behind it.
        """
        limit = self.engine.send_buffer_limit
        return buffered if buffered <= limit else limit // 2

    def too_slow(self) -> None:
        """Abort the connection of a slow consumer. Those above hear of it in the next turn of the loop."""
        if self.reason is None:
            self.engine.stats.slow_consumers += 1
            self.abort(self.engine.reason.TRANSPORT_ERROR)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting or (), None
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # -- reading ----------------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Read nothing more from this client: packets that are in already go to the backlog."""
        if self.backlog is None:
            self.backlog = Backlog()
            if self.websocket is not None:
                self.websocket.pause_reading()

    def catch_up(self) -> Iterable[Packet]:
        """Read again. The backlog, to be dispatched in order."""
        backlog, self.backlog = self.backlog, None
        if backlog is None:
            return ()
        if self.websocket is not None:
            self.websocket.resume_reading()
        if backlog.eased is not None and not backlog.eased.done():
            backlog.eased.set_result(None)
        return backlog

    async def caught_up(self) -> None:
        """Wait until packets are taken again: how a long-polling client is slowed down."""
        while self.backlog is not None:
            if self.backlog.eased is None:
                self.backlog.eased = asyncio.get_running_loop().create_future()
            await self.backlog.eased

    # -- ending -----------------------------------------------------------------------------------

    def close(self, reason: str, *, code: int = NORMAL) -> None:
        """Send what is queued, then end the transport, in the way that its protocol calls orderly.

        A stock client sees `transport close` and reconnects by itself.
        """
        if self.reason is not None:
            return
        websocket = self.websocket
        if websocket is not None:
            self.held = False
            self.flush()
            self._end(reason, later=True)
            websocket.close(code)
        else:
            polling, queue = self.polling, self.take()
            self._end(reason, later=True)
            if polling is not None:
                # CLOSE comes by a poll of its own: packets in the same body as CLOSE are handled by
                # JavaScript clients after it, that is after they have reconnected.
                polling.part(*([joined(queue)] if queue else []), CLOSE)

    def close_transport(self, reason: str | None = None) -> None:
        """End the transport because this node goes away: the client is to come back, to another one."""
        self.close(reason or self.engine.reason.SERVER_DISCONNECT, code=GOING_AWAY)

    def abort(self, reason: str) -> None:
        """End the connection without a word, dropping what is queued."""
        if self.reason is None:
            websocket, polling = self.websocket, self.polling
            self._end(reason, later=True)
            if websocket is not None:
                websocket.abort()
            elif polling is not None:
                polling.abort()

    def give_up(self) -> None:
        """The client has not connected to anything in time."""
        self.engine.receiver.connect_timed_out(self)

    def silent(self) -> None:
        """The peer has not answered a PING in time."""
        self.abort(self.engine.reason.PING_TIMEOUT)

    def protocol_error(self) -> None:
        """The peer has sent what it must not: the connection is closed at once."""
        if self.reason is None:
            self.engine.stats.protocol_errors += 1
            websocket, polling = self.websocket, self.polling
            self._end(self.engine.reason.TRANSPORT_ERROR)
            if websocket is not None:
                websocket.close(NORMAL)
            elif polling is not None:
                polling.end(CLOSE)

    def _end(self, reason: str, *, later: bool = False) -> None:
        """Let go of everything, and tell those above: later, when the caller may be walking a room."""
        self.reason = reason
        self.queue = None
        self.partial = None
        self.catch_up()
        if self.probe is not None:
            self.probe.fail()
        if self._waiting is not None:
            self._wake()
        if later:
            asyncio.get_running_loop().call_soon(self.engine.ended, self, reason)
        else:
            self.engine.ended(self, reason)

    # -- what the websocket reports (WebSocketOwner) ------------------------------------------------

    def text_received(self, text: str) -> None:
        """An Engine.IO packet, on either transport."""
        kind = text[:1]
        if kind == "4":
            self.engine.text_received(self, text[1:])
        elif kind == "3":
            self.engine.heartbeat.pong(self)
        elif kind == "1":
            self._end_by_client()
        elif kind not in ("0", "5", "6"):  # which say nothing here
            self.protocol_error()

    def binary_received(self, data: bytes) -> None:
        """A binary message, on either transport."""
        self.engine.binary_received(self, data)

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
            reasons = self.engine.reason
            self._end(reasons.TRANSPORT_ERROR if code in _BROKEN else reasons.TRANSPORT_CLOSE)
        self.engine.transport_closed(self)

    def _end_by_client(self) -> None:
        """CLOSE: the client is done. A poll ends with a NOOP, a websocket with a close frame."""
        if self.reason is None:
            websocket, polling = self.websocket, self.polling
            self._end(self.engine.reason.CLIENT_DISCONNECT)
            if websocket is not None:
                websocket.close(NORMAL)
            elif polling is not None:
                # The GET may have been overtaken by the POST that brought this.
                polling.part(NOOP)
