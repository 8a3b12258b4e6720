"""Who decides which clients get into a namespace, and hears when they leave it."""

from __future__ import annotations

from typing import Protocol

from notify.backplane.membership import Member
from notify.gateway.socketio.client import ClientSocket


class Admission(Protocol):
    """Answers CONNECT: authentication, recovery, channels, or simply a connect handler."""

    needs_environ: bool
    """True when a connect handler is to be shown the request of the handshake."""

    def serves(self, namespace: str) -> bool:
        """False for a namespace that is refused with "Invalid namespace" before `connect` is asked."""

    async def connect(self, socket: ClientSocket, namespace: str, data: object) -> None:
        """Let a client in or refuse it, and answer it. It may find `socket.closed` after any await; a member
        that is in `socket.members` when this returns, on a closed socket, is reported by `transport_lost`."""

    def transport_lost(self, member: Member, reason: str) -> None:
        """The transport of a member is gone."""

    def client_left(self, member: Member) -> None:
        """A member has left: it has sent DISCONNECT."""

    async def sent_away(self, member: Member) -> None:
        """`SocketServer.disconnect` has sent DISCONNECT to a member. Returns when it is out."""
