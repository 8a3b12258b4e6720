"""The layer above the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from notify.gateway.socket import EngineSocket


class Receiver(Protocol):
    """The layer above, which is told what arrives. Every call is synchronous."""

    def notes(self, request: web.Request) -> Any:
        """What is to be kept of the handshake's request, which is gone when the connection is opened."""

    @property
    def needs_no_notes(self) -> bool:
        """True when `notes` would be None for any request."""

    def opened(self, socket: EngineSocket, notes: Any) -> None:
        """A handshake has been accepted."""

    def text(self, socket: EngineSocket, data: str) -> None:
        """A text message, without its packet type."""

    def binary(self, socket: EngineSocket, data: bytes) -> None:
        """A binary message."""

    def closed(self, socket: EngineSocket, reason: str) -> None:
        """The connection has ended. Called once for each that was opened."""

    def connect_timed_out(self, socket: EngineSocket) -> None:
        """The client has not connected to anything in time."""
