"""An engine used without Socket.IO, as `engineio.AsyncServer` can be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import orjson
from aiohttp import web

from notify.gateway.engineio.packet import message_data
from notify.gateway.engineio.socket import EngineSocket
from notify.gateway.http.cors import Cors
from notify.gateway.http.environ import environ_of
from notify.gateway.http.proxies import TrustedProxies


class DefaultReceiver:
    """Calls the engine's own `connect`, `message` and `disconnect` handlers.

    `trigger(event, *arguments)` calls a handler, `submit` runs a coroutine.
    """

    def __init__(
        self,
        *,
        trigger: Callable[..., Awaitable[Any]],
        submit: Callable[[Coroutine[Any, Any, Any]], None],
        cors: Cors,
        proxies: TrustedProxies,
    ) -> None:
        self._trigger = trigger
        self._submit = submit
        self._cors = cors
        self._proxies = proxies

    async def refusal(self, socket: EngineSocket, request: web.Request) -> web.Response | None:
        """Ask the `connect` handler, if there is one."""
        environ = environ_of(request, self._proxies.visitor(request))
        accepted = await self._trigger("connect", socket.sid, environ, run_async=False)
        if accepted is None or accepted is True:
            return None
        body = orjson.dumps(accepted or "Unauthorized")
        headers = self._cors.headers(request)
        return web.Response(status=401, body=body, content_type="application/json", headers=headers)

    def notes(self, request: web.Request) -> None:
        """None: `connect` has been asked."""

    @property
    def needs_no_request(self) -> bool:
        """False: the `connect` handler is shown the request."""
        return False

    def opened(self, socket: EngineSocket, notes: None) -> None:
        """`connect` has been asked."""

    def text(self, socket: EngineSocket, data: str) -> None:
        """Call the `message` handler."""
        self._submit(self._message(socket.sid, message_data(data)))

    def binary(self, socket: EngineSocket, data: bytes) -> None:
        """Call the `message` handler."""
        self._submit(self._message(socket.sid, data))

    async def _message(self, sid: str, data: Any) -> None:
        await self._trigger("message", sid, data, run_async=False)

    def closed(self, socket: EngineSocket, reason: str) -> None:
        """Call the `disconnect` handler."""
        self._submit(self._disconnect(socket.sid, reason))

    async def _disconnect(self, sid: str, reason: str) -> None:
        await self._trigger("disconnect", sid, reason, run_async=False)

    def connect_timed_out(self, socket: EngineSocket) -> None:
        """Never asked for."""
