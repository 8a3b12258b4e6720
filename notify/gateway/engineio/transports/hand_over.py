"""Taking a websocket's connection away from aiohttp, which has read the request and routed it.

`hand_over` answers 101, puts a `WebSocketProtocol` on the transport and makes aiohttp forget the connection.
"""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from notify.gateway.engineio.transports.websocket import WebSocketOwner, WebSocketProtocol
from notify.protocol.handshake import accept_for, switching_protocols


class HandedOver(web.StreamResponse):
    """What a handler returns after `hand_over`: the answer already sent. aiohttp writes nothing for it."""

    def __init__(self) -> None:
        super().__init__(status=101)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the transport is not aiohttp's any more."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the transport is not aiohttp's any more."""


def hand_over(
    request: web.Request,
    owner: WebSocketOwner,
    *,
    max_message_bytes: int,
    max_frames: int | None = None,
    close_timeout_s: float = 1.0,
    greeting: bytes = b"",
) -> WebSocketProtocol:
    """Accept the websocket that the request asks for and take its connection away from aiohttp.

    `max_frames`: see `WebSocketProtocol`. `greeting`: finished frames, which leave in the same write as the
    acceptance.

    The handler returns `HandedOver()` next. No extension and no subprotocol is agreed to. What the client
    sent right behind its request is read in a later turn of the loop, so the owner first gets its protocol.

    Raises web.HTTPException, with nothing sent, for a request that is not a websocket handshake of version 13
    (RFC 6455 section 4.2.1), or when the client has gone.
    """
    accept = _accept(request)
    former, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise web.HTTPBadRequest(text="The client has gone")
    protocol = WebSocketProtocol(
        transport,
        owner,
        max_message_bytes=max_message_bytes,
        max_frames=max_frames,
        close_timeout_s=close_timeout_s,
    )
    received, paused = former._message_tail, former.writing_paused
    # This is what aiohttp does with a connection that is lost: off the server's list, no parser, no timer.
    # It would also close the transport and, with `handler_cancellation`, cancel this handler: take both away.
    former.transport = None
    former._task_handler = None
    former.connection_lost(None)
    transport.set_protocol(protocol)
    if paused:
        protocol.pause_writing()
    transport.write(switching_protocols(accept) + greeting)
    if received:
        protocol.push(received)
    # aiohttp stops reading when a client sends much behind its request.
    transport.resume_reading()
    return protocol


def _accept(request: web.Request) -> bytes:
    """The value of Sec-WebSocket-Accept for a good handshake."""
    headers = request.headers
    if request.method != hdrs.METH_GET:
        raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_GET])
    options = {option.strip().lower() for option in ",".join(headers.getall(hdrs.CONNECTION, [])).split(",")}
    if (
        request.version < HttpVersion11
        or "upgrade" not in options
        # One protocol exactly: aiohttp goes on reading HTTP when more are offered.
        or [name.strip().lower() for name in headers.getall(hdrs.UPGRADE, [])] != ["websocket"]
    ):
        raise _refused(web.HTTPUpgradeRequired, "A websocket is served here")
    if request.body_exists:
        raise _refused(web.HTTPBadRequest, "A websocket handshake has no body")
    versions = headers.getall(hdrs.SEC_WEBSOCKET_VERSION, [])
    if not versions:
        raise _refused(web.HTTPBadRequest, "Sec-WebSocket-Version is missing")
    if versions != ["13"]:
        raise _refused(web.HTTPUpgradeRequired, "Sec-WebSocket-Version must be 13")
    keys = headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])
    accept = accept_for(keys[0].encode()) if len(keys) == 1 else None
    if accept is None:
        raise _refused(web.HTTPBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64")
    return accept


def _refused(error: type[web.HTTPError], text: str) -> web.HTTPError:
    """What a wrong handshake is answered with (RFC 6455 section 4.2.2, RFC 9110 section 15.5.22)."""
    headers = {hdrs.SEC_WEBSOCKET_VERSION: "13"}
    if error is web.HTTPUpgradeRequired:
        headers |= {hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade, close"}
    refusal = error(text=text, headers=headers)
    # Frames may follow: they must not be read as the next request.
    refusal.force_close()
    return refusal
