"""Our Engine.IO v4 server on aiohttp: handshakes, long-polling, upgrades, and who is connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any

from aiohttp import web

from notify.domain.entropy import Entropy
from notify.gateway.engineio.bounds.limits import HandshakeLimits
from notify.gateway.engineio.bounds.unconnected import Unconnected
from notify.gateway.engineio.default_receiver import DefaultReceiver
from notify.gateway.engineio.flusher import Flusher
from notify.gateway.engineio.handlers import Handlers
from notify.gateway.engineio.heartbeat import Beat, Heartbeat
from notify.gateway.engineio.http_edge import HttpEdge
from notify.gateway.engineio.options import check_options
from notify.gateway.engineio.packet import OpenPackets, message_wire
from notify.gateway.engineio.receiver import Receiver
from notify.gateway.engineio.socket import MOVED, EngineSocket
from notify.gateway.engineio.timers import Wheel
from notify.gateway.engineio.transports.last_polls import LastPolls
from notify.gateway.engineio.transports.moved_away import MovedAway
from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from notify.gateway.http.cors import AllowedOrigins, Cors
from notify.gateway.http.proxies import TrustedProxies
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import Wire, frame
from notify.protocol.handshake import PlainHandshake, query_values, switching_protocols

_DEADLINES_TICK_S = 0.05
MAX_UNCONNECTED = 10_000
FEW = 64
"""Where so few connections are taken in all, they may all be in no namespace."""
SHORTEST_COUNT_S = 5.0
"""Frames are counted over a ping interval, and over no less than this: clients send in bursts."""
SHUTDOWN_GRACE_S = 5.0
"""What disconnect handlers get to finish when the server stops."""


class Engine(HttpEdge):
    """`engineio.AsyncServer` with other insides, for aiohttp only.

    It takes the same options and has the same methods. Of its own it has:

    :param send_buffer_limit: bytes that may wait to be sent to one client. Past it the client is a slow
                              consumer and its connection is aborted. Default 1 MiB.
    :param max_frames_per_second: frames, or packets by long-polling, that one client may send on average
                                  between two pings; past them it is closed. None for no limit. Default 2,000.
    :param upgrade_timeout: seconds in which a websocket must complete its upgrade. Default 10.
    :param max_connections: connections this node takes; None (the default) for no limit.
    :param max_unconnected: connections that may be in no namespace yet. Past them the oldest of the address
                            that has most of them go. Default: half of `max_connections`, 10,000 at most.
    :param handshake_rate: handshakes a second this node takes; None (the default) for no limit.
    :param handshake_burst: handshakes taken at once before the rate applies. Default: a second's worth.
    :param trusted_proxies: networks whose `X-Forwarded-*` headers are believed. Default: none.
    :param stats: where to count; by default a `GatewayStats` of its own.
    :param socket_class: what to make for each connection, an `EngineSocket` or a class derived from it.
    """

    def __init__(
        self,
        *,
        async_mode: str | None = None,
        monitor_clients: bool | None = None,
        cors_allowed_origins: AllowedOrigins = None,
        cors_credentials: bool = True,
        send_buffer_limit: int = 1 << 20,
        max_frames_per_second: float | None = 2000.0,
        upgrade_timeout: float = 10.0,
        max_connections: int | None = None,
        max_unconnected: int | None = None,
        handshake_rate: float | None = None,
        handshake_burst: int | None = None,
        trusted_proxies: Iterable[str] = (),
        stats: GatewayStats | None = None,
        socket_class: type[EngineSocket] = EngineSocket,
        **options: Any,
    ) -> None:
        """Raises ValueError for an option that cannot be had here, TypeError for an unknown one."""
        check_options(async_mode=async_mode, monitor_clients=monitor_clients, others=options)
        super().__init__(
            async_mode="aiohttp",
            cors_allowed_origins=cors_allowed_origins,
            cors_credentials=cors_credentials,
            **options,
        )
        self.stats = stats if stats is not None else GatewayStats()
        self.mark = ""
        """What the ids of this node's sessions begin with."""
        self.elsewhere = None
        """Who answers for the sessions of other nodes; None for a server that is alone."""
        self.moves = None
        """Who brings sessions of other nodes here; None where none ever comes."""
        self.sockets: dict[str, EngineSocket] = {}
        self.leaving: dict[str, EngineSocket] = {}
        """Ended, while a disconnect handler still runs: their sessions can be read."""
        self.last_polls = LastPolls(keep_s=self.ping_timeout)
        """Of sessions that we have ended: what the client's next polls are to be answered."""
        self.moved_away = MovedAway(keep_s=upgrade_timeout)
        """Sessions that have just gone to other nodes: who comes for them is told so."""
        self.send_buffer_limit = send_buffer_limit
        self.upgrade_timeout_s = upgrade_timeout
        self.proxies = TrustedProxies(trusted_proxies)
        self.cors = Cors(cors_allowed_origins, credentials=cors_credentials, proxies=self.proxies)
        self.limits = HandshakeLimits(
            stats=self.stats, max_connections=max_connections, rate=handshake_rate, burst=handshake_burst
        )
        if max_unconnected is None:
            most = max_connections or 2 * MAX_UNCONNECTED
            max_unconnected = min(MAX_UNCONNECTED, max(most // 2, min(most, FEW)))
        self._unconnected: Unconnected[EngineSocket] = Unconnected(most=max_unconnected)
        self.flusher = Flusher()
        self.handlers_in_flight = Handlers()
        self.heartbeat = Heartbeat(interval_s=self.ping_interval, timeout_s=self.ping_timeout)
        self.deadlines: Wheel[Any] = Wheel(lambda item: item.on_deadline(), tick_s=_DEADLINES_TICK_S)
        """Deadlines of other kinds: a request's head, a first CONNECT, an upgrade."""
        self.receiver: Receiver[Any] = DefaultReceiver(
            trigger=self._trigger_event,
            submit=self.handlers_in_flight.submit,
            cors=self.cors,
            proxies=self.proxies,
        )
        self._socket_class = socket_class
        self._max_frames = None
        if max_frames_per_second is not None:
            self._max_frames = ceil(max_frames_per_second * max(self.ping_interval, SHORTEST_COUNT_S))
        self._entropy = Entropy()
        self._open_packets = OpenPackets(
            upgrade_to=["websocket"] if self.allow_upgrades and "websocket" in self.transports else [],
            interval_s=self.ping_interval + self.ping_interval_grace_period,
            timeout_s=self.ping_timeout,
            max_payload=self.max_http_buffer_size,
        )
        self._compress_from = self.compression_threshold if self.http_compression else None
        self._stopped = False
        self._closing: set[EngineSocket] = set()
        """Ended, while their websockets are still coming to their end."""
        self._all_closed: asyncio.Future[None] | None = None

    def generate_id(self) -> str:
        """A session id: this node's mark, and 120 random bits."""
        return self.mark + self._entropy.name(15)

    # -- coming in --------------------------------------------------------------------------------

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve under `/<engineio_path>/`. The connections are ended when the application shuts down."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)
        app.on_shutdown.append(self._shut_down)

    def accept(self, transport: asyncio.Transport, handshake: PlainHandshake) -> bool:
        """Take a connection whose websocket handshake has been read already (see `fast_handshake`).

        False, and nothing has happened, when it asks for something that only `handle_request` can judge:
        another transport, an existing session, an origin that needs the whole request, a limit that is near.
        """
        origin = handshake.origin
        if (
            not _begins_on_websocket(handshake.query)
            or "websocket" not in self.transports
            or self.proxies.configured
            or not self.limits.unlimited
            or not (origin is None or self.cors.allows_plainly(origin, handshake.host))
            or not self.receiver.needs_no_request
            or transport.is_closing()
        ):
            return False
        sid = self.generate_id()
        socket = self._socket_class(self, sid, polling=None, address=None)
        self.sockets[sid] = socket
        websocket = WebSocketProtocol(
            transport, socket, max_message_bytes=self.max_http_buffer_size, max_frames=self._max_frames
        )
        socket.websocket = websocket
        transport.set_protocol(websocket)
        greeting = frame(self._open_packets.packet(sid, "websocket"))
        transport.write(switching_protocols(handshake.accept) + greeting)
        self.stats.websocket_connections += 1
        self.stats.opened["websocket"] += 1
        self.heartbeat.start(socket)
        self.receiver.opened(socket, None)
        if handshake.tail:
            websocket.push(handshake.tail)
        return True

    # -- what sockets report (SocketHost) ---------------------------------------------------------

    def text_received(self, socket: EngineSocket, data: str) -> None:
        """A text message has arrived."""
        self.receiver.text(socket, data)

    def binary_received(self, socket: EngineSocket, data: bytes) -> None:
        """A binary message has arrived."""
        self.receiver.binary(socket, data)

    def connect_timed_out(self, socket: EngineSocket) -> None:
        """A client has not connected to anything in time."""
        self.receiver.connect_timed_out(socket)

    def upgraded(self, socket: EngineSocket) -> None:
        """A connection has gone from long-polling to websocket."""
        self.stats.upgrades += 1
        self.stats.polling_connections -= 1
        self.stats.websocket_connections += 1

    def adopt(
        self,
        socket: EngineSocket,
        websocket: WebSocketProtocol,
        wires: Sequence[Wire],
        *,
        beat: Beat | None,
        held: bool,
    ) -> None:
        """A session has come from another node, with what was not sent there: see `EngineSocket.arrive`.

        `beat`: where its heartbeat was; None when the other node has not said so.
        """
        self.sockets[socket.sid] = socket
        self.stats.upgrades += 1
        self.stats.websocket_connections += 1
        socket.arrive(websocket, wires, held=held)
        self.heartbeat.resume(socket, beat)

    def release_moved(self, socket: EngineSocket) -> None:
        """A long-polling session has gone to another node: nothing of it stays here, and nobody is told."""
        self.heartbeat.remove(socket)
        self.connected_in_time(socket)
        if self.sockets.pop(socket.sid, None) is not None:
            self.stats.polling_connections -= 1
            self.stats.closed[MOVED] += 1
            self.moved_away.add(socket.sid)
        socket.depart()

    def keep_last_polls(self, sid: str, bodies: Sequence[bytes]) -> None:
        """Keep the last bodies of a session for the client's next polls, for a ping timeout at most."""
        if not self._stopped:
            self.last_polls.keep(sid, bodies)

    def socket_ended(self, socket: EngineSocket, reason: str) -> None:
        """A connection has ended: nothing of it stays here."""
        self.heartbeat.remove(socket)
        self.connected_in_time(socket)
        if self.sockets.pop(socket.sid, None) is None:
            return
        if socket.websocket is not None:
            if not socket.websocket.gone:
                self._closing.add(socket)
            self.stats.websocket_connections -= 1
        else:
            self.stats.polling_connections -= 1
        self.stats.closed[reason] += 1
        self.receiver.closed(socket, reason)

    def websocket_closed(self, socket: EngineSocket) -> None:
        """A websocket has come to its end, or was lost."""
        self._closing.discard(socket)
        if not self._closing and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    def expect_connect(self, socket: EngineSocket, within_s: float) -> None:
        """End a connection that has not connected to anything in this time, or while too many have not."""
        socket.deadline = self.deadlines.add(socket, within_s)
        for crowded_out in self._unconnected.add(socket):
            self.stats.crowded_out += 1
            crowded_out.abort(self.reason.TRANSPORT_ERROR)

    def connected_in_time(self, socket: EngineSocket) -> None:
        """It has, or it has ended: forget the deadline."""
        if socket.deadline is not None:
            socket.deadline.discard(socket)
            socket.deadline = None
        self._unconnected.discard(socket)

    # -- the interface of engineio.AsyncServer ------------------------------------------------------

    async def send(self, sid: str, data: Any) -> None:
        """Send a message to a client; to one that is gone, nothing happens."""
        socket = self.sockets.get(sid)
        if socket is not None:
            socket.send(message_wire(data))

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """Send an `engineio.packet.Packet` to a client."""
        socket = self.sockets.get(sid)
        if socket is not None:
            encoded = pkt.encode()
            socket.send(Wire(memoryview(bytes(encoded)) if pkt.binary else encoded.encode()))

    async def disconnect(self, sid: str | None = None) -> None:
        """Close a client's connection, or everyone's."""
        sockets: Sequence[EngineSocket | None] = (
            [self.sockets.get(sid)] if sid is not None else list(self.sockets.values())
        )
        for socket in sockets:
            if socket is not None:
                socket.close(self.reason.SERVER_DISCONNECT)

    async def shutdown(self) -> None:
        """End all transports, so that clients look for another server, and stop what runs for them."""
        self._stopped = True
        self.limits.draining = True
        for socket in list(self.sockets.values()):
            socket.close_transport()
        await asyncio.sleep(0)  # let us, and those above, hear of it
        self.heartbeat.stop()
        self.deadlines.stop()
        self.last_polls.stop()
        self.moved_away.stop()
        await self.handlers_in_flight.close(grace_s=SHUTDOWN_GRACE_S)
        if self._closing:
            # What websockets have still to send, and their peers to end: they time out by themselves.
            self._all_closed = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_GRACE_S):
                    await self._all_closed

    def _get_socket(self, sid: str) -> EngineSocket:
        socket = self.sockets.get(sid) or self.leaving.get(sid)
        if socket is None:
            raise KeyError("Session not found")
        return socket

    async def _shut_down(self, _: web.Application) -> None:
        await self.shutdown()


def _begins_on_websocket(query: str) -> bool:
    """Whether a query asks for a new session of Engine.IO v4 that begins on websocket."""
    if query == "EIO=4&transport=websocket":  # what stock clients send
        return True
    asked = query_values(query)
    return asked.get("transport") == "websocket" and asked.get("EIO") == "4" and "sid" not in asked
