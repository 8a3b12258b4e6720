"""Which nodes live. A node that dies leaves nothing behind but this, and this for 20 seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import structlog

from notify.domain.errors import NotifyError

HEARTBEAT_S = 5.0

log = structlog.get_logger(__name__)


class Heartbeats(Protocol):
    """What the registry asks of the store. All raise Unavailable."""

    def beat(self, node_id: str) -> Awaitable[None]:
        """Say that a node lives."""

    def gone(self, node_id: str) -> Awaitable[None]:
        """Say that a node has stopped."""

    def alive(self) -> Awaitable[list[str]]:
        """The ids of the nodes that have said so lately."""


class Registry:
    """Says every 5 s that this node lives, and knows who else does."""

    def __init__(self, *, node_id: str, heartbeats: Heartbeats) -> None:
        self.node_id = node_id
        self._heartbeats = heartbeats
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Enter this node. Raises Unavailable."""
        await self._heartbeats.beat(self.node_id)
        self._task = asyncio.create_task(self._run(), name="registry-heartbeat")

    async def stop(self) -> None:
        """Take this node out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._heartbeats.gone(self.node_id)
        except NotifyError as error:
            log.warning("node_not_taken_out", reason=error.detail)  # its heartbeat runs out by itself

    async def alive(self) -> list[str]:
        """The nodes that live, this one among them. Raises Unavailable."""
        return await self._heartbeats.alive()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._heartbeats.beat(self.node_id)
            except NotifyError as error:
                log.warning("heartbeat_failed", reason=error.detail)
