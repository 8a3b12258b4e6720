"""The layer above the engine."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from aiohttp import web

Socket_contra = TypeVar("Socket_contra", contravariant=True)


class Receiver(Protocol[Socket_contra]):
    """The layer above, which is told what arrives. All but `refusal` is synchronous."""

    async def refusal(self, socket: Socket_contra, request: web.Request) -> web.Response | None:
        """What a client is answered whose handshake is not taken; None for the others."""

    def notes(self, request: web.Request) -> Any:
        """What is to be kept of the handshake's request, which is gone when the connection is opened."""

    @property
    def needs_no_request(self) -> bool:
        """True when neither `refusal` nor `notes` would look at any request."""

    def opened(self, socket: Socket_contra, notes: Any) -> None:
        """A handshake has been accepted."""

    def text(self, socket: Socket_contra, data: str) -> None:
        """A text message, without its packet type."""

    def binary(self, socket: Socket_contra, data: bytes) -> None:
        """A binary message."""

    def closed(self, socket: Socket_contra, reason: str) -> None:
        """The connection has ended. Called once for each that was opened."""

    def connect_timed_out(self, socket: Socket_contra) -> None:
        """The client has not connected to anything in time."""
