"""The connection on which a node hears: a bare hiredis reader, 1.3 us a message where redis-py takes 10."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import hiredis
import structlog

SUBSCRIBE_BATCH = 500

_NOTHING = object()
log = structlog.get_logger(__name__)

P = TypeVar("P", bound=asyncio.Protocol)


class Opener(Protocol):
    """Opens a connection to Redis and puts a protocol on it. Raises Unavailable."""

    async def open(self, protocol: P) -> tuple[asyncio.Transport, P]:
        """The transport, connected and authenticated, and the protocol."""


class Connection(asyncio.Protocol):
    """Subscribed to Redis: tells of confirmed subscriptions, and of messages a turn at a time."""

    def __init__(
        self,
        *,
        confirmed: Callable[[bytes], None],
        received: Callable[[list[tuple[bytes, bytes]]], None],
        refused: Callable[[str], None],
    ) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirmed = confirmed
        self._received = received
        self._refused = refused
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=RuntimeError, notEnoughData=_NOTHING)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def send(self, verb: str, topics: Sequence[bytes]) -> None:
        """SUBSCRIBE or UNSUBSCRIBE, in batches that Redis can confirm one after the other."""
        if self._transport is not None:
            for begin in range(0, len(topics), SUBSCRIBE_BATCH):
                batch = topics[begin : begin + SUBSCRIBE_BATCH]
                self._transport.write(hiredis.pack_command((verb, *batch)))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        messages: list[tuple[bytes, bytes]] = []
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                if isinstance(reply, RuntimeError):
                    self._refused(str(reply))
                elif reply[0] == b"message":
                    messages.append((reply[1], reply[2]))
                elif reply[0] == b"subscribe":
                    if messages:  # a topic's confirmation comes before its messages, and must stay there
                        self._received(messages)
                        messages = []
                    self._confirmed(reply[1])
        except (hiredis.ProtocolError, TypeError, IndexError) as error:
            log.warning("redis_unreadable", reason=str(error))
            self.abort()
        if messages:
            self._received(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)
