"""The manager of a server that stands alone."""

from __future__ import annotations

from typing import Any

from socketio.async_manager import AsyncManager

from notify.backplane.membership import Membership


class LocalManager(Membership, AsyncManager):  # type: ignore[misc]
    """python-socketio's `AsyncManager` on our books: what a bare `SocketServer` uses."""

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **_: Any,
    ) -> None:
        """Send an event to a sid, a room, or everyone in the namespace."""
        self.emit_local(event, data, namespace, to or room, skip_sid, callback)
