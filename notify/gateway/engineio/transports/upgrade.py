"""A websocket that takes over from long-polling (Engine.IO protocol v4, "Upgrade").

Nothing is lost, doubled or reordered: until the client sends UPGRADE, packets leave by polls only, and it
sends it after its last poll has been answered; from then on they leave by the websocket only.
"""

from __future__ import annotations

import asyncio
from typing import Any

from notify.gateway.engineio.packet import PROBE_ANSWER
from notify.gateway.engineio.socket import EngineSocket
from notify.gateway.engineio.timers import Bucket
from notify.gateway.engineio.transports.websocket import WebSocketProtocol


class Probe:
    """Owns the websocket until the upgrade is complete."""

    __slots__ = ("_bucket", "_last", "_paused", "answered", "decision", "elsewhere", "socket", "websocket")

    def __init__(self, socket: EngineSocket) -> None:
        self.socket = socket
        self.websocket: WebSocketProtocol
        self.answered = False
        self.elsewhere = False
        self.decision: asyncio.Future[None] | None = None  # here, going over is one step
        self._paused = False
        self._last: bytes | None = None
        self._bucket: Bucket[Any] = socket.host.deadlines.add(self, socket.host.upgrade_timeout_s)

    def text_received(self, text: str) -> None:
        """`2probe`, then `5`. Anything else ends the attempt, and the connection stays on long-polling."""
        if text == "2probe" and not self.answered:
            self.answered = True
            self.websocket.write(PROBE_ANSWER)
            if self.socket.polling is not None:
                self.socket.polling.release()
        elif text == "5" and self.answered:
            self._complete()
        else:
            self.fail()

    def binary_received(self, data: bytes) -> None:
        """Not before the upgrade is complete."""
        self.fail()

    def writing_paused(self) -> None:
        """Kept for the socket, should it take over."""
        self._paused = True

    def writing_resumed(self) -> None:
        """Kept for the socket, should it take over."""
        self._paused = False

    def connection_closed(self, code: int, clean: bool) -> None:
        """The attempt has failed."""
        self.fail()

    def on_deadline(self) -> None:
        """The client did not go on in time."""
        self.fail()

    def fail(self) -> None:
        """Close the websocket; long-polling goes on, if it still does."""
        self._bucket.discard(self)
        if self.socket.probe is self:
            self.socket.probe = None
        self.websocket.close()

    def leave_when_complete(self, frames: bytes) -> None:
        """The session is over: once the client has gone over, write the frames, and end the stream."""
        self._last = frames

    def discard(self) -> None:
        """The websocket handshake has failed: there is nothing to close."""
        self._bucket.discard(self)

    def _complete(self) -> None:
        self._bucket.discard(self)
        if self._last is not None:
            self.websocket.write(self._last)
            self.websocket.leave()
            return
        self.socket.take_over(self.websocket, held=self._paused)


class Unwanted:
    """Owns a websocket that is refused after its handshake: the session has, or is getting, another one."""

    __slots__ = ()

    def text_received(self, text: str) -> None:
        """Ignored."""

    def binary_received(self, data: bytes) -> None:
        """Ignored."""

    def writing_paused(self) -> None:
        """Ignored."""

    def writing_resumed(self) -> None:
        """Ignored."""

    def connection_closed(self, code: int, clean: bool) -> None:
        """Ignored."""
