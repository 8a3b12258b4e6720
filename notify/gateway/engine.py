"""Our Engine.IO v4 server on aiohttp: handshakes, long-polling, upgrades, and who is connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import engineio
import orjson
from aiohttp import web

from notify.domain.entropy import Entropy
from notify.domain.packet import Wire, frame, joined
from notify.gateway.cors import AllowedOrigins, Cors
from notify.gateway.flusher import Flusher
from notify.gateway.handlers import Handlers
from notify.gateway.heartbeat import Heartbeat, Wheel
from notify.gateway.limits import HandshakeLimits
from notify.gateway.parted import Parted
from notify.gateway.plain import PlainReceiver, message_wire
from notify.gateway.polling import Polling, TooLarge, response
from notify.gateway.proxies import TrustedProxies
from notify.gateway.receiver import Receiver
from notify.gateway.refusal import (
    BAD_HANDSHAKE_METHOD,
    BAD_REQUEST,
    FORBIDDEN,
    UNKNOWN_SID,
    UNKNOWN_TRANSPORT,
    UNSUPPORTED_PROTOCOL_VERSION,
    refuse,
)
from notify.gateway.socket import EngineSocket
from notify.gateway.stats import GatewayStats
from notify.gateway.upgrade import Probe, Unwanted
from notify.gateway.websocket import HandedOver, WebSocketProtocol, hand_over, switching_protocols

_PATIENCE_TICK_S = 0.05
SHUTDOWN_GRACE_S = 5.0
"""What disconnect handlers get to finish when the server stops."""


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """`engineio.AsyncServer` with other insides, for aiohttp only.

    It takes the same options and has the same methods. Of its own it has:

    :param send_buffer_limit: bytes that may wait to be sent to one client. Past it the client is a slow
                              consumer and its connection is aborted. Default 1 MiB.
    :param upgrade_timeout: seconds in which a websocket must complete its upgrade. Default 10.
    :param max_connections: connections this node takes; None (the default) for no limit.
    :param handshake_rate: handshakes a second this node takes; None (the default) for no limit.
    :param handshake_burst: handshakes taken at once before the rate applies. Default: a second's worth.
    :param trusted_proxies: networks whose `X-Forwarded-*` headers are believed. Default: none.
    :param stats: where to count; by default a `GatewayStats` of its own.
    """

    def __init__(
        self,
        *,
        async_mode: str | None = None,
        monitor_clients: bool | None = None,
        cors_allowed_origins: AllowedOrigins = None,
        cors_credentials: bool = True,
        send_buffer_limit: int = 1 << 20,
        upgrade_timeout: float = 10.0,
        max_connections: int | None = None,
        handshake_rate: float | None = None,
        handshake_burst: int | None = None,
        trusted_proxies: Iterable[str] = (),
        stats: GatewayStats | None = None,
        **options: Any,
    ) -> None:
        """Raises ValueError for an option that cannot be had here, TypeError for an unknown one."""
        if async_mode not in (None, "aiohttp"):
            raise ValueError(
                f"async_mode={async_mode!r}: this server takes websockets over from aiohttp, so it runs on "
                "aiohttp only"
            )
        if monitor_clients is False:
            raise ValueError(
                "monitor_clients=False: silent clients are always closed; there is no monitoring task to save"
            )
        unknown = options.keys() - _STOCK_OPTIONS
        if unknown:
            raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
        super().__init__(
            async_mode="aiohttp",
            cors_allowed_origins=cors_allowed_origins,
            cors_credentials=cors_credentials,
            **options,
        )
        self.stats = stats if stats is not None else GatewayStats()
        self.sockets: dict[str, EngineSocket] = {}
        self.leaving: dict[str, EngineSocket] = {}
        """Ended, while a disconnect handler still runs: their sessions can be read."""
        self.parted: dict[str, Parted] = {}
        """Ended by us, while the client's last poll is awaited."""
        self.receiver: Receiver = PlainReceiver(self)
        self.send_buffer_limit = send_buffer_limit
        self.upgrade_timeout_s = upgrade_timeout
        self.proxies = TrustedProxies(trusted_proxies)
        self.cors = Cors(cors_allowed_origins, credentials=cors_credentials, proxies=self.proxies)
        self.limits = HandshakeLimits(
            stats=self.stats, max_connections=max_connections, rate=handshake_rate, burst=handshake_burst
        )
        self.flusher = Flusher()
        self.handlers_in_flight = Handlers()
        self.heartbeat = Heartbeat(interval_s=self.ping_interval, timeout_s=self.ping_timeout)
        self.patience: Wheel[Any] = Wheel(lambda item: item.give_up(), tick_s=_PATIENCE_TICK_S)
        """Deadlines of other kinds: a first CONNECT, an upgrade, a last poll."""
        self._entropy = Entropy()
        self._open_tail: dict[str, bytes] = {}
        self._stopped = False
        self._closing: set[EngineSocket] = set()
        self._all_closed: asyncio.Future[None] | None = None

    def generate_id(self) -> str:
        """A session id: 120 random bits."""
        return self._entropy.name(15)

    # -- the HTTP entry ---------------------------------------------------------------------------

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve under `/<engineio_path>/`. The connections are ended when the application shuts down."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)
        app.on_shutdown.append(self._shut_down)

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of any method. A wrong one gets 400 and `{"code","message"}`, as with Node."""
        query = _query(request.raw_path)
        transport = query.get("transport", "")
        if request.method == "OPTIONS":
            allowed = self.cors.allows(request)
            return web.Response(status=200, text="OK", headers=self.cors.headers(request, allowed=allowed))
        if transport not in self.transports:
            return refuse(self.cors, request, UNKNOWN_TRANSPORT)
        if not self.cors.allows(request):
            self.stats.handshakes_refused["origin"] += 1
            origin = request.headers["Origin"]
            self._log_error_once(f"{origin} is not an accepted origin.", "bad-origin")
            return refuse(
                self.cors, request, FORBIDDEN, f"{origin} is not an accepted origin.", allowed=False
            )
        sid = query.get("sid")
        if sid:
            return await self._continue(request, transport, sid)
        if request.method != "GET":
            return refuse(self.cors, request, BAD_HANDSHAKE_METHOD)
        if query.get("EIO") != "4":
            return refuse(self.cors, request, UNSUPPORTED_PROTOCOL_VERSION)
        if transport == "websocket" and request.headers.get("Upgrade", "").lower() != "websocket":
            return refuse(self.cors, request, BAD_REQUEST)
        refusal = self.limits.refusal()
        if refusal is not None:
            headers = {"Retry-After": str(refusal.retry_after_s)}
            return refuse(self.cors, request, FORBIDDEN, refusal.message, status=503, headers=headers)
        return await self._handshake(request, transport)

    async def _handshake(self, request: web.Request, transport: str) -> web.StreamResponse:
        sid = self.generate_id()
        polling = Polling() if transport == "polling" else None
        address = None
        if polling is not None or self.proxies.configured:
            address = self.proxies.address(request)
        socket = EngineSocket(self, sid, polling=polling, address=address)
        self.sockets[sid] = socket
        if isinstance(self.receiver, PlainReceiver) and "connect" in self.handlers:
            refusal = await self.receiver.connect(socket, request)
            if refusal is not None:
                del self.sockets[sid]
                return refusal
        notes = self.receiver.notes(request)
        if polling is None:
            try:
                socket.websocket = hand_over(
                    request,
                    socket,
                    max_message_bytes=self.max_http_buffer_size,
                    greeting=frame(self._open_packet(sid, transport)),
                )
            except web.HTTPException:
                del self.sockets[sid]
                raise
            self.stats.websocket_connections += 1
        else:
            polling.socket = socket
            self.stats.polling_connections += 1
        self.stats.opened[transport] += 1
        self.heartbeat.start(socket)
        self.receiver.opened(socket, notes)
        if polling is None:
            socket.flush()
            return HandedOver()
        body = joined([Wire(self._open_packet(sid, transport)), *socket.take()])
        headers = self.cors.headers(request)
        if self.cookie:
            headers["Set-Cookie"] = self._cookie_header(sid)
        return response(self, request, body, headers)

    def accept(
        self,
        transport: asyncio.Transport,
        query: str,
        origin: str | None,
        host: str,
        accept: bytes,
        tail: bytes,
    ) -> bool:
        """Take a connection whose websocket handshake has been read already (see `front`).

        False, and nothing has happened, when it asks for something that only `handle_request` can judge:
        another transport, an existing session, an origin that needs the whole request, a limit that is near.
        """
        asked = _query("?" + query)
        if (
            asked.get("transport") != "websocket"
            or asked.get("EIO") != "4"
            or "sid" in asked
            or "websocket" not in self.transports
            or self.proxies.configured
            or not self.limits.unlimited
            or not (origin is None or self.cors.allows_plainly(origin, host))
            or not self.receiver.needs_no_notes
            or transport.is_closing()
        ):
            return False
        sid = self.generate_id()
        socket = EngineSocket(self, sid, polling=None, address=None)
        self.sockets[sid] = socket
        websocket = WebSocketProtocol(transport, socket, max_message_bytes=self.max_http_buffer_size)
        socket.websocket = websocket
        transport.set_protocol(websocket)
        transport.write(switching_protocols(accept) + frame(self._open_packet(sid, "websocket")))
        self.stats.websocket_connections += 1
        self.stats.opened["websocket"] += 1
        self.heartbeat.start(socket)
        self.receiver.opened(socket, None)
        if tail:
            websocket.push(tail)
        return True

    async def _continue(self, request: web.Request, transport: str, sid: str) -> web.StreamResponse:
        socket = self.sockets.get(sid)
        if socket is None or socket.reason is not None:
            polls = request.method == "GET" and transport == "polling"
            parted = self.parted.get(sid) if polls else None
            if parted is None:
                return refuse(self.cors, request, UNKNOWN_SID)
            return response(self, request, parted.next(), self.cors.headers(request))
        if transport == "websocket":
            return self._upgrade(request, socket)
        polling = socket.polling
        if polling is None:
            return refuse(self.cors, request, BAD_REQUEST)
        if request.method == "GET":
            body = await polling.get(request)
            if body is None:
                return refuse(self.cors, request, BAD_REQUEST)
            return response(self, request, body, self.cors.headers(request))
        if request.method == "POST":
            try:
                survived = await polling.post(request)
            except TooLarge:
                return refuse(self.cors, request, BAD_REQUEST, "Payload too large", status=413)
            if not survived:
                return refuse(self.cors, request, BAD_REQUEST)
            headers = self.cors.headers(request)
            headers["Cache-Control"] = "no-store"
            return web.Response(text="ok", headers=headers)
        return refuse(self.cors, request, BAD_REQUEST)

    def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket" or not self.allow_upgrades:
            return refuse(self.cors, request, BAD_REQUEST)
        if socket.websocket is not None or socket.probe is not None:
            # After the handshake, as the protocol asks: the one that is there is not disturbed.
            hand_over(request, Unwanted(), max_message_bytes=1024).close()
            return HandedOver()
        probe = Probe(socket)
        try:
            probe.websocket = hand_over(request, probe, max_message_bytes=self.max_http_buffer_size)
        except web.HTTPException:
            probe.discard()
            raise
        socket.probe = probe
        return HandedOver()

    def _open_packet(self, sid: str, transport: str) -> bytes:
        tail = self._open_tail.get(transport)
        if tail is None:
            grace_s = self.ping_interval_grace_period
            upgrades = self.allow_upgrades and transport == "polling" and "websocket" in self.transports
            options = {
                "upgrades": ["websocket"] if upgrades else [],
                "pingInterval": round((self.ping_interval + grace_s) * 1000),
                "pingTimeout": round(self.ping_timeout * 1000),
                "maxPayload": self.max_http_buffer_size,
            }
            tail = self._open_tail[transport] = b'",' + orjson.dumps(options)[1:]
        return b'0{"sid":"' + sid.encode() + tail

    def _cookie_header(self, sid: str) -> str:
        cookie = self.cookie
        if not isinstance(cookie, dict):
            cookie = {"name": cookie, "path": "/", "SameSite": "Lax"}
        return str(self._generate_sid_cookie(sid, cookie))

    # -- what sockets report ----------------------------------------------------------------------

    def text_received(self, socket: EngineSocket, data: str) -> None:
        """A text message has arrived."""
        self.receiver.text(socket, data)

    def binary_received(self, socket: EngineSocket, data: bytes) -> None:
        """A binary message has arrived."""
        self.receiver.binary(socket, data)

    def upgraded(self, socket: EngineSocket) -> None:
        """A connection has gone from long-polling to websocket."""
        self.stats.upgrades += 1
        self.stats.polling_connections -= 1
        self.stats.websocket_connections += 1

    def part(self, sid: str, bodies: Sequence[bytes]) -> None:
        """Keep the last words of a session for the client's next polls, for a ping timeout at most."""
        if not self._stopped:
            self.parted[sid] = Parted(self, sid, bodies)

    def ended(self, socket: EngineSocket, reason: str) -> None:
        """A connection has ended: nothing of it stays here."""
        self.heartbeat.remove(socket)
        self.settled(socket)
        if self.sockets.pop(socket.sid, None) is None:
            return
        if socket.websocket is not None:
            self.stats.websocket_connections -= 1
        else:
            self.stats.polling_connections -= 1
        self.stats.closed[reason] += 1
        self.receiver.closed(socket, reason)

    def transport_closed(self, socket: EngineSocket) -> None:
        """A websocket has had its closing handshake, or was lost."""
        if self._closing:
            self._closing.discard(socket)
            if not self._closing and self._all_closed is not None and not self._all_closed.done():
                self._all_closed.set_result(None)

    def expect_connect(self, socket: EngineSocket, within_s: float) -> None:
        """Give a connection so long to become of use."""
        socket.deadline = self.patience.add(socket, within_s)

    def settled(self, socket: EngineSocket) -> None:
        """It is of use, or over."""
        if socket.deadline is not None:
            socket.deadline.discard(socket)
            socket.deadline = None

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
            if socket.websocket is not None:
                self._closing.add(socket)
            socket.close_transport()
        await asyncio.sleep(0)  # let those above hear of it
        self.heartbeat.stop()
        self.patience.stop()
        self.parted.clear()
        await self.handlers_in_flight.close(grace_s=SHUTDOWN_GRACE_S)
        if self._closing:
            # The websockets' closing handshakes, which time out by themselves.
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


_STOCK_OPTIONS = frozenset(
    (
        "ping_interval",
        "ping_timeout",
        "max_http_buffer_size",
        "allow_upgrades",
        "http_compression",
        "compression_threshold",
        "cookie",
        "logger",
        "json",
        "async_handlers",
        "transports",
    )
)


def _query(path: str) -> dict[str, str]:
    """The query of a request, without the cost of a general parser: our values need no decoding."""
    _, _, query = path.partition("?")
    return {name: value for name, _, value in (pair.partition("=") for pair in reversed(query.split("&")))}
