"""The connection on which a node hears: a bare hiredis reader, 1.3 us a message where redis-py takes 10."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import hiredis
import structlog

SUBSCRIBE_BATCH = 500

_NOTHING = object()
log = structlog.get_logger(__name__)


class Subscription(asyncio.Protocol):
    """A connection that is subscribed: tells of confirmed topics, and of messages a turn at a time.

    No message can end it: whatever the callbacks raise goes to `failed`, and the message is skipped.
    """

    def __init__(
        self,
        *,
        confirmed: Callable[[bytes], None],
        received: Callable[[list[tuple[bytes, bytes]]], None],
        refused: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirmed = confirmed
        self._received = received
        self._refused = refused
        self._failed = failed
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
                        self._hand_on(messages)
                        messages = []
                    self._confirmed(reply[1])
        except (hiredis.ProtocolError, TypeError, IndexError) as error:
            log.warning("redis_unreadable", reason=str(error))
            self.abort()
        if messages:
            self._hand_on(messages)

    def _hand_on(self, messages: list[tuple[bytes, bytes]]) -> None:
        try:
            self._received(messages)
        except Exception as error:  # noqa: BLE001 - a message must not cost the subscription of all
            self._failed(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)
