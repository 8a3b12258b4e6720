"""Packets that wait for a client's handlers."""

from __future__ import annotations

import asyncio
from collections import deque

from notify.protocol.socketio import Packet


class Backlog(deque[Packet]):
    """Packets of a client from which nothing more is read until its handlers have caught up."""

    __slots__ = ("eased",)

    def __init__(self) -> None:
        super().__init__()
        self.eased: asyncio.Future[None] | None = None
