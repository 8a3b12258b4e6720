"""Where other nodes come in, on the internal port: nobody else gets an answer."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from notify.gateway.elsewhere.caller import Caller, Departures, Home
from notify.gateway.elsewhere.link import HEARTBEAT_S
from notify.gateway.stats import GatewayStats
from notify.protocol.links import FORMER, OVERHEAD, PATH, VERSION

_SCHEME = "Bearer "


class Gatekeeper(Protocol):
    """Who this node is, and who is let in (`backplane.directory.Directory`)."""

    @property
    def mark(self) -> str:
        """What stands for this node."""

    def accepts(self, secret: str) -> bool:
        """Whether this is a secret of the cluster."""


class Door:
    """Takes links of other nodes."""

    def __init__(
        self,
        home: Home,
        departures: Departures,
        gatekeeper: Gatekeeper,
        *,
        stats: GatewayStats,
        max_body_bytes: int,
    ) -> None:
        """`max_body_bytes`: of a POST."""
        self._home = home
        self._departures = departures
        self._gatekeeper = gatekeeper
        self._stats = stats
        self._max_message_bytes = max_body_bytes + OVERHEAD
        self._callers: set[Caller] = set()

    def routes(self) -> list[web.RouteDef]:
        """What the internal port serves."""
        return [web.get(PATH, self._enter)]

    def secrets_changed(self) -> None:
        """End the links of those whose secret is not accepted any more."""
        for caller in self._callers:
            if not self._gatekeeper.accepts(caller.secret):
                asyncio.ensure_future(caller.aclose())  # noqa: RUF006 - `serve` ends with it

    async def aclose(self) -> None:
        """End all links."""
        await asyncio.gather(*(caller.aclose() for caller in list(self._callers)))

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        secret = given.removeprefix(_SCHEME)
        if not given.startswith(_SCHEME) or not self._gatekeeper.accepts(secret):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if request.query.get("mark") != self._gatekeeper.mark:
            return web.Response(status=404, text="Another node has this address now\n")
        websocket = web.WebSocketResponse(
            protocols=(VERSION, FORMER),
            heartbeat=HEARTBEAT_S,
            compress=False,
            max_msg_size=self._max_message_bytes,
        )
        await websocket.prepare(request)
        caller = Caller(websocket, self._home, self._departures, secret=secret)
        self._callers.add(caller)
        self._stats.links["there"] += 1
        try:
            await caller.serve()
        finally:
            self._callers.discard(caller)
            self._stats.links["there"] -= 1
        return websocket
