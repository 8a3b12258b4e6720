"""The two ports of a node: what listens on each, how many connections each may have, and how both end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import structlog
from aiohttp import web

from notify.gateway.engineio.bounds.silent_connections import SilentConnections
from notify.gateway.engineio.fast_handshake import FastHandshake
from notify.gateway.http.client_files import ClientFiles
from notify.gateway.http.errors import unreadable
from notify.gateway.socketio.server import SocketServer
from notify.ingest.http.malformed import MalformedRequests
from notify.ingest.http.request_ids import RequestIds
from notify.ingest.stats import IngestStats
from notify.ops.descriptors import Descriptors
from notify.ops.http_port import HttpPort, HttpStats, Shortcut
from notify.ops.ports import open_port
from notify.settings.settings import Settings

log = structlog.get_logger(__name__)


class Listeners:
    """Opened first, and closed first: whoever is still answered needs all the rest of the node."""

    def __init__(
        self,
        settings: Settings,
        *,
        server: SocketServer,
        ingest_stats: IngestStats,
        descriptors: Descriptors,
        hurried: Callable[[], bool],
    ) -> None:
        """`hurried` is True when nobody is to be waited for any more."""
        self.shared = settings.internal_port == settings.port
        """One port for clients and backends."""
        self.stats = HttpStats()
        self.request_ids = RequestIds()
        self.internal_port = settings.internal_port
        """Once it is open, where it listens, also if any free port was asked for (0)."""
        self._settings = settings
        self._server = server
        self._hurried = hurried
        self._stack = AsyncExitStack()
        self._public = web.Application()
        server.attach(self._public, socketio_path="socket.io")
        if settings.serve_client:
            self._public.add_routes(ClientFiles().routes())
        engine_stats = server.eio.stats
        self._internal_port = HttpPort(
            "api",
            answer_malformed=MalformedRequests(stats=ingest_stats, ids=self.request_ids).answer,
            stats=self.stats,
            max_connections=lambda: descriptors.internal,
        )
        self._public_port = HttpPort(
            "socket.io",
            answer_malformed=self._internal_port.answer_malformed if self.shared else unreadable,
            stats=self.stats,
            max_connections=lambda: (
                descriptors.public + descriptors.spare - engine_stats.websocket_connections
            ),
        )

        self._silent: SilentConnections[FastHandshake] = SilentConnections(
            most=lambda: (
                descriptors.public
                + descriptors.spare
                - engine_stats.websocket_connections
                - len(self._public_port.connections)
            ),
            evicted=lambda: self._public_port.count("evicted"),
        )

    async def open_internal(
        self,
        routes: Iterable[web.RouteDef],
        *,
        ending: Callable[[], Awaitable[None]],
        shortcut: Shortcut | None = None,
    ) -> None:
        """Serve the API, and what probes and other nodes ask. `ending` ends the links of those at the end.

        `shortcut` answers some requests before `routes` are asked. Raises CannotListen when the port is not
        to be had.
        """
        (self._public_port if self.shared else self._internal_port).shortcut = shortcut
        settings = self._settings
        if self.shared:
            self._public.add_routes(routes)
            self._server.eio.limits.draining = True  # clients are taken later
            opened = await self._open(
                self._public, self._public_port, settings.host, settings.port, ending=ending
            )
        else:
            internal = web.Application()
            internal.add_routes(routes)
            opened = await self._open(
                internal,
                self._internal_port,
                settings.internal_host,
                settings.internal_port,
                ending=ending,
            )
        self.internal_port = opened

    async def open_public(self) -> None:
        """Take clients. Raises CannotListen when the port is not to be had."""
        self._server.eio.limits.draining = False
        if not self.shared:
            await self._open(self._public, self._public_port, self._settings.host, self._settings.port)

    async def _open(
        self,
        application: web.Application,
        port: HttpPort,
        host: str,
        number: int,
        *,
        ending: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        engine, silent = self._server.eio, self._silent
        opened = await open_port(
            self._stack,
            application,
            port,
            host=host,
            number=number,
            prefix="NOTIFY_" if port is self._public_port else "NOTIFY_INTERNAL_",
            shutdown_s=self._settings.shutdown_seconds,
            # Plain websocket handshakes are ours, the rest is aiohttp's.
            front=(lambda other: lambda: FastHandshake(engine, other, path="/socket.io/", silent=silent))
            if port is self._public_port
            else None,
            hurried=self._hurried,
            ending=ending,
        )
        log.info("listening", host=host, port=opened, what=port.name)
        return opened

    def close_soon(self) -> None:
        """From now on every answer ends its connection, and says so."""
        for port in (self._internal_port, self._public_port):
            port.close_soon()

    async def aclose(self) -> None:
        """Listen no longer; requests under way get to finish."""
        await self._stack.aclose()
