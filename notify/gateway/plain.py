"""An engine used without Socket.IO, as `engineio.AsyncServer` can be."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from engineio import packet as eio_packet

from notify.domain.packet import Wire
from notify.gateway.environ import environ_of

if TYPE_CHECKING:
    from notify.gateway.engine import Engine
    from notify.gateway.socket import EngineSocket


class PlainReceiver:
    """Calls the engine's own `connect`, `message` and `disconnect` handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def connect(self, socket: EngineSocket, request: web.Request) -> web.Response | None:
        """Ask the `connect` handler; what a refused client is answered."""
        environ = environ_of(request, self._engine.proxies.visitor(request))
        accepted = await self._engine._trigger_event("connect", socket.sid, environ, run_async=False)
        if accepted is None or accepted is True:
            return None
        body = orjson.dumps(accepted or "Unauthorized")
        headers = self._engine.cors.headers(request)
        return web.Response(status=401, body=body, content_type="application/json", headers=headers)

    def notes(self, request: web.Request) -> None:
        """None: `connect` has been asked."""

    @property
    def needs_no_notes(self) -> bool:
        """False: the `connect` handler is shown the request."""
        return False

    def opened(self, socket: EngineSocket, notes: None) -> None:
        """`connect` has been asked."""

    def text(self, socket: EngineSocket, data: str) -> None:
        """Call the `message` handler."""
        self._run(self._message(socket, _as_engineio_decodes(data)))

    def binary(self, socket: EngineSocket, data: bytes) -> None:
        """Call the `message` handler."""
        self._run(self._message(socket, data))

    async def _message(self, socket: EngineSocket, data: Any) -> None:
        await self._engine._trigger_event("message", socket.sid, data, run_async=False)

    def closed(self, socket: EngineSocket, reason: str) -> None:
        """Call the `disconnect` handler."""
        self._run(self._engine._trigger_event("disconnect", socket.sid, reason, run_async=False))

    def connect_timed_out(self, socket: EngineSocket) -> None:
        """Never asked for."""

    def _run(self, job: Coroutine[Any, Any, Any]) -> None:
        self._engine.handlers_in_flight.submit(job)


def _as_engineio_decodes(data: str) -> Any:
    """python-engineio gives its handlers a message that is JSON decoded, unless it begins with a digit."""
    return eio_packet.Packet(encoded_packet="4" + data).data


def message_wire(data: Any) -> Wire:
    """What `AsyncServer.send` takes as a packet: text, binary, or a list or dict to be sent as JSON."""
    if isinstance(data, bytes | bytearray | memoryview):
        return Wire(memoryview(bytes(data)))
    return Wire(eio_packet.Packet(eio_packet.MESSAGE, data=data).encode().encode())
