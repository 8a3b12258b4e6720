"""The HTTP side of an engine: handshakes, polls, posts and upgrades, each judged and answered."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import engineio
from aiohttp import web

from notify.gateway.engineio.bounds.limits import HandshakeLimits
from notify.gateway.engineio.heartbeat import Heartbeat
from notify.gateway.engineio.packet import OpenPackets
from notify.gateway.engineio.receiver import Receiver
from notify.gateway.engineio.socket import EngineSocket
from notify.gateway.engineio.transports.hand_over import HandedOver, hand_over
from notify.gateway.engineio.transports.http_polling import HttpPoll, HttpPost, poll_response
from notify.gateway.engineio.transports.last_polls import LastPolls
from notify.gateway.engineio.transports.moved_away import MovedAway
from notify.gateway.engineio.transports.polling import (
    Poll,
    Polling,
    Post,
    SessionOver,
    SetAside,
    TooLarge,
)
from notify.gateway.engineio.transports.upgrade import Probe, Unwanted
from notify.gateway.engineio.transports.websocket import WebSocketOwner, WebSocketProtocol
from notify.gateway.http.cors import Cors
from notify.gateway.http.errors import (
    BAD_HANDSHAKE_METHOD,
    BAD_REQUEST,
    FORBIDDEN,
    TAKEN,
    UNKNOWN_SID,
    UNKNOWN_TRANSPORT,
    UNSUPPORTED_PROTOCOL_VERSION,
    Refused,
    refuse,
)
from notify.gateway.http.proxies import TrustedProxies
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import Wire, frame, joined
from notify.protocol.handshake import query_values


class Node(Protocol):
    """Where long-polling sessions live: this node, or all the others (`HttpEdge.elsewhere`)."""

    async def poll(self, sid: str, poll: Poll) -> bytes:
        """The body of the answer to a GET, once there is one. Raises `Refused`."""

    async def post(self, sid: str, post: Post) -> None:
        """Hand over what a client posts. Raises `Refused`."""


class MovingProbe(WebSocketOwner, Protocol):
    """A websocket that asks to take over from long-polling at another node."""

    websocket: WebSocketProtocol

    def discard(self) -> None:
        """The websocket handshake has failed: there is nothing to close."""


class Moves(Protocol):
    """How sessions come here from other nodes (`HttpEdge.moves`)."""

    async def begin(self, sid: str, *, address: str) -> MovingProbe:
        """Ask a session's node whether it may come. Raises `Refused`; `TAKEN` for one websocket too many."""


class HttpEdge(engineio.AsyncServer):  # type: ignore[misc]
    """The half of `Engine` that answers requests; the other half makes these, and keeps the connections."""

    elsewhere: Node | None
    moves: Moves | None
    mark: str
    cors: Cors
    heartbeat: Heartbeat
    last_polls: LastPolls
    limits: HandshakeLimits
    moved_away: MovedAway
    proxies: TrustedProxies
    receiver: Receiver[Any]
    sockets: dict[str, EngineSocket]
    stats: GatewayStats
    _compress_from: int | None
    _max_frames: int | None
    _open_packets: OpenPackets
    _socket_class: type[EngineSocket]

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request of any method. A wrong one gets 400 and `{"code","message"}`, as with Node."""
        query = query_values(request.raw_path.partition("?")[2])
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
        polling = None
        if transport == "polling":
            polling = Polling(max_body_bytes=self.max_http_buffer_size, max_packets=self._max_frames)
        address = None
        if polling is not None or self.proxies.configured:
            address = self.proxies.address(request)
        socket = self._socket_class(self, sid, polling=polling, address=address)
        self.sockets[sid] = socket
        refusal = await self.receiver.refusal(socket, request)
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
                    max_frames=self._max_frames,
                    greeting=frame(self._open_packets.packet(sid, transport)),
                )
            except web.HTTPException:
                del self.sockets[sid]
                raise
            self.stats.websocket_connections += 1
        else:
            polling.owner = socket
            self.stats.polling_connections += 1
        self.stats.opened[transport] += 1
        self.heartbeat.start(socket)
        self.receiver.opened(socket, notes)
        if polling is None:
            socket.flush()
            return HandedOver()
        body = joined([Wire(self._open_packets.packet(sid, transport)), *socket.take()])
        headers = self.cors.headers(request)
        if self.cookie:
            headers["Set-Cookie"] = self._cookie_header(sid)
        return poll_response(request, body, headers, compress_from=self._compress_from)

    async def _continue(self, request: web.Request, transport: str, sid: str) -> web.StreamResponse:
        try:
            if transport == "websocket":
                socket = self._open_socket(sid)
                if socket is None:
                    return await self._upgrade_elsewhere(request, sid)
                return self._upgrade(request, socket)
            if request.method == "GET":
                body = await self._node_of(sid).poll(sid, HttpPoll(request))
                return poll_response(
                    request, body, self.cors.headers(request), compress_from=self._compress_from
                )
            if request.method == "POST":
                await self._node_of(sid).post(sid, HttpPost(request))
                headers = self.cors.headers(request)
                headers["Cache-Control"] = "no-store"
                return web.Response(text="ok", headers=headers)
            raise Refused(UNKNOWN_SID if self._open_socket(sid) is None else BAD_REQUEST)
        except Refused as refused:
            return refuse(self.cors, request, refused.code, refused.message, status=refused.status)

    def _open_socket(self, sid: str) -> EngineSocket | None:
        socket = self.sockets.get(sid)
        return None if socket is None or socket.reason is not None else socket

    async def _settled(self, sid: str) -> EngineSocket | None:
        """The session, if it is open here. While it is about to go to another node, wait until it has."""
        socket = self._open_socket(sid)
        while socket is not None and socket.probe is not None and socket.probe.decision is not None:
            await asyncio.wait((socket.probe.decision,))
            socket = self._open_socket(sid)
        return socket

    def _node_of(self, sid: str) -> Node:
        """Where the session is: here, when nobody else can have it."""
        if self.elsewhere is None or sid.startswith(self.mark):
            return self
        return self.elsewhere

    async def _upgrade_elsewhere(self, request: web.Request, sid: str) -> web.StreamResponse:
        """Let a websocket take over a session that is not open here. Raises `Refused`.

        A stock client whose upgrade fails goes on polling, be the session on another node or gone: the poll
        tells it which.
        """
        if self._node_of(sid) is self:
            if sid in self.moved_away and self._asks_for_websocket(request):
                return self._one_too_many(request)
            raise Refused(UNKNOWN_SID)
        try:
            if self.moves is None or not self._asks_for_websocket(request):
                raise Refused(BAD_REQUEST)
            probe = await self.moves.begin(sid, address=self.proxies.address(request))
        except Refused as refused:
            if refused.code == TAKEN:
                return self._one_too_many(request)
            self.stats.upgrades_elsewhere += 1
            raise
        try:
            probe.websocket = hand_over(
                request, probe, max_message_bytes=self.max_http_buffer_size, max_frames=self._max_frames
            )
        except BaseException:
            probe.discard()
            raise
        return HandedOver()

    def _asks_for_websocket(self, request: web.Request) -> bool:
        return bool(self.allow_upgrades) and request.headers.get("Upgrade", "").lower() == "websocket"

    async def poll(self, sid: str, poll: Poll) -> bytes:
        """The next packets of a session of this node. Raises `Refused`."""
        socket = await self._settled(sid)
        if socket is None:
            body = self.last_polls.next(sid)
            if body is None:
                raise Refused(UNKNOWN_SID)
            return body
        if socket.polling is None:
            raise Refused(BAD_REQUEST)
        try:
            body = await socket.polling.get(poll)
        except SetAside:
            return await self.poll(sid, poll)
        except SessionOver:
            raise Refused(UNKNOWN_SID) from None
        if body is None:
            raise Refused(BAD_REQUEST)
        return body

    async def post(self, sid: str, post: Post) -> None:
        """Take the packets that a client posts to a session of this node. Raises `Refused`."""
        socket = await self._settled(sid)
        if socket is None:
            raise Refused(UNKNOWN_SID)
        if socket.polling is None:
            raise Refused(BAD_REQUEST)
        try:
            survived = await socket.polling.post(post)
        except TooLarge:
            raise Refused(BAD_REQUEST, "Payload too large", status=413) from None
        if not survived:
            raise Refused(BAD_REQUEST)

    def release(self, sid: str) -> None:
        """Answer the GET of a session of this node that waits, with the packets there are or with a NOOP."""
        socket = self._open_socket(sid)
        if socket is not None and socket.polling is not None:
            socket.polling.nudge()

    def lost(self, sid: str) -> None:
        """What was sent to a session of this node did not reach its client, which has to recover."""
        socket = self._open_socket(sid)
        if socket is not None and socket.polling is not None:
            socket.polling.owner.polling_failed()

    def _upgrade(self, request: web.Request, socket: EngineSocket) -> web.StreamResponse:
        if not self._asks_for_websocket(request):
            return refuse(self.cors, request, BAD_REQUEST)
        if socket.websocket is not None or socket.probe is not None:
            return self._one_too_many(request)
        probe = Probe(socket)
        try:
            probe.websocket = hand_over(
                request,
                probe,
                max_message_bytes=self.max_http_buffer_size,
                max_frames=self._max_frames,
            )
        except web.HTTPException:
            probe.discard()
            raise
        socket.probe = probe
        return HandedOver()

    def _one_too_many(self, request: web.Request) -> web.StreamResponse:
        """Close a websocket, after its handshake as the protocol asks. The other one is not disturbed."""
        hand_over(request, Unwanted(), max_message_bytes=1024, max_frames=1024).close()
        return HandedOver()

    def _cookie_header(self, sid: str) -> str:
        cookie = self.cookie
        if not isinstance(cookie, dict):
            cookie = {"name": cookie, "path": "/", "SameSite": "Lax"}
        return str(self._generate_sid_cookie(sid, cookie))
