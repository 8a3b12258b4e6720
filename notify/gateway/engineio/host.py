"""What an Engine.IO connection needs of the server that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from notify.gateway.engineio.flusher import Flusher
from notify.gateway.engineio.heartbeat import Heartbeat
from notify.gateway.engineio.timers import Wheel
from notify.gateway.stats import GatewayStats

Socket_contra = TypeVar("Socket_contra", contravariant=True)


class SocketHost(Protocol[Socket_contra]):
    """Keeps the connections, and hears from them. Every call is synchronous, on the event loop."""

    reason: Any
    """python-engineio's reasons for the end of a connection."""
    send_buffer_limit: int
    """Bytes that may wait to be sent to one client."""
    upgrade_timeout_s: float
    flusher: Flusher
    stats: GatewayStats
    heartbeat: Heartbeat
    deadlines: Wheel[Any]

    def text_received(self, socket: Socket_contra, data: str) -> None:
        """A text message, without its packet type."""

    def binary_received(self, socket: Socket_contra, data: bytes) -> None:
        """A binary message."""

    def connect_timed_out(self, socket: Socket_contra) -> None:
        """The client has not connected to anything in time."""

    def upgraded(self, socket: Socket_contra) -> None:
        """A connection has gone from long-polling to websocket."""

    def socket_ended(self, socket: Socket_contra, reason: str) -> None:
        """A session is over; its websocket may still be closing."""

    def websocket_closed(self, socket: Socket_contra) -> None:
        """A websocket has had its closing handshake, or was lost."""

    def keep_last_polls(self, sid: str, bodies: Sequence[bytes]) -> None:
        """What the client's next polls are to be answered, though the session is over."""
