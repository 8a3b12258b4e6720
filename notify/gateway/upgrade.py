"""A websocket that takes over from long-polling (Engine.IO protocol v4, "Upgrade").

Nothing is lost, doubled or reordered: until the client sends UPGRADE, packets leave by polls only, and it
sends it after its last poll has been answered; from then on they leave by the websocket only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from notify.domain.packet import frame
from notify.gateway.heartbeat import Bucket

if TYPE_CHECKING:
    from notify.gateway.socket import EngineSocket
    from notify.gateway.websocket import WebSocketProtocol

_PONG = frame(b"3probe")


class Probe:
    """Owns the websocket until the upgrade is complete."""

    __slots__ = ("_bucket", "_paused", "answered", "socket", "websocket")

    def __init__(self, socket: EngineSocket) -> None:
        self.socket = socket
        self.websocket: WebSocketProtocol
        self.answered = False
        """The client has been told to go ahead: from now on polls must not wait."""
        self._paused = False
        self._bucket: Bucket[Any] = socket.engine.patience.add(self, socket.engine.upgrade_timeout_s)

    def text_received(self, text: str) -> None:
        """`2probe`, then `5`. Anything else ends the attempt, and the connection stays on long-polling."""
        if text == "2probe" and not self.answered:
            self.answered = True
            self.websocket.write(_PONG)
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

    def give_up(self) -> None:
        """The client did not go on in time."""
        self.fail()

    def fail(self) -> None:
        """Close the websocket; long-polling goes on, if it still does."""
        self._bucket.discard(self)
        if self.socket.probe is self:
            self.socket.probe = None
        self.websocket.close()

    def discard(self) -> None:
        """The websocket handshake has failed: there is nothing to close."""
        self._bucket.discard(self)

    def _complete(self) -> None:
        socket, websocket = self.socket, self.websocket
        self._bucket.discard(self)
        socket.probe = None
        polling, socket.polling = socket.polling, None
        websocket.hand_to(socket)
        socket.websocket = websocket
        socket.held = self._paused
        socket.engine.upgraded(socket)
        if polling is not None:
            polling.end(b"6")
        socket.flush()


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
