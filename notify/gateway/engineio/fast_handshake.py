"""The public port's front: a plain websocket handshake is answered here, everything else goes to aiohttp.

A third of what a connect costs is HTTP: a parser, a request, a task, a router, a response. The handshake that
nearly every client sends needs none of it. What is not exactly that handshake is handed to aiohttp untouched,
so there is one place only that refuses and explains. Nobody gets there without the whole head of a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from notify.gateway.engineio.bounds.silent_connections import SilentConnections
from notify.gateway.engineio.server import Engine
from notify.gateway.engineio.timers import Bucket
from notify.protocol.handshake import read_plain
from notify.protocol.headers import END_OF_HEAD

HEAD_S = 10.0
"""How long a connection may be open without the whole head of a request."""
MOST_HELD = 1 << 15
"""Bytes of a head without its end that are kept here; how a larger one is refused is aiohttp's to say."""


class FastHandshake(asyncio.Protocol):
    """One connection until the head of its first request has come.

    `other` makes the protocol for all that is not ours; `silent` is shared by all connections of the port.
    """

    __slots__ = ("_deadline", "_engine", "_head", "_other", "_prefix", "_silent", "_transport")

    def __init__(
        self,
        engine: Engine,
        other: Callable[[], asyncio.Protocol],
        *,
        path: str,
        silent: SilentConnections[FastHandshake],
    ) -> None:
        self._engine = engine
        self._other = other
        self._prefix = f"GET {path}?".encode()
        self._silent = silent
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: Bucket[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._deadline = self._engine.deadlines.add(self, HEAD_S)
        self._silent.add(self)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._head:
            searched = max(0, len(self._head) - len(END_OF_HEAD))
            data = self._head + data
        else:
            searched = 0
        if data.find(END_OF_HEAD, searched) < 0 and len(data) <= MOST_HELD:
            self._head = data
            return
        self._stop_waiting()
        if data.startswith(self._prefix):
            handshake = read_plain(data, len(self._prefix))
            if handshake is not None and self._engine.accept(transport, handshake):
                return
        other = self._other()
        transport.set_protocol(other)
        other.connection_made(transport)
        other.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()

    def on_deadline(self) -> None:
        """No request has come in time."""
        self._deadline = None
        self.drop()

    def drop(self) -> None:
        """End the connection; `connection_lost` does the rest."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _stop_waiting(self) -> None:
        self._transport = None
        self._head = b""
        self._silent.discard(self)
        if self._deadline is not None:
            self._deadline.discard(self)
            self._deadline = None
