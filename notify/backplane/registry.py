"""Which nodes live, each under its own name. A node that dies leaves nothing behind but this, for 20 s."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable
from typing import Protocol

import structlog

from notify.domain.errors import NotifyError

HEARTBEAT_S = 5.0
STARTING_S = 2
"""A node of the same name that entered this recently may not be listening on its topic yet."""
STARTING_WAIT_S = 0.5
POLL_S = 0.05

log = structlog.get_logger(__name__)


class Nodes(Protocol):
    """What the registry asks of the store. All raise Unavailable."""

    def claim(self, node_id: str, *, take_over: bool = False) -> Awaitable[int | None]:
        """Enter a node; None, or for how many seconds nothing was heard of the one that has its name."""

    def listening(self, node_id: str) -> Awaitable[bool]:
        """True while somebody listens on the topic of a node of that name."""

    def beat(self, node_id: str) -> Awaitable[None]:
        """Say that a node lives."""

    def gone(self, node_id: str) -> Awaitable[None]:
        """Say that a node has stopped."""

    def alive(self) -> Awaitable[list[str]]:
        """The ids of the nodes that have said so lately."""


class Registry:
    """Says every 5 s that this node lives, and knows who else does."""

    def __init__(self, *, node_id: str, nodes: Nodes) -> None:
        self.node_id = node_id
        """The name of this node: the one it is given, or one like it, should `claim` find that taken."""
        self._nodes = nodes
        self._task: asyncio.Task[None] | None = None

    async def claim(self) -> None:
        """Make sure that the name is this node's alone, before it is used for anything. Raises Unavailable.

        An entry without a listener was left by a killed node, and is taken over at once. If a node of that
        name is running (two were configured alike), this one takes another name and logs a warning.
        """
        wanted = self.node_id
        while (silent_s := await self._nodes.claim(self.node_id)) is not None:
            if await self._answered_for(silent_s):
                self.node_id = f"{wanted}-{secrets.token_hex(3)}"
            else:
                await self._nodes.claim(self.node_id, take_over=True)
                break
        if self.node_id != wanted:
            log.warning(
                "node_id_taken",
                wanted=wanted,
                taken_instead=self.node_id,
                advice="Another running node has this NOTIFY_NODE_ID: give each node its own, or leave it "
                "unset.",
            )

    async def _answered_for(self, silent_s: int) -> bool:
        deadline = time.monotonic() + (STARTING_WAIT_S if silent_s <= STARTING_S else 0.0)
        while not await self._nodes.listening(self.node_id):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def start(self) -> None:
        """Begin to say that this node lives. Raises Unavailable."""
        await self._nodes.beat(self.node_id)
        self._task = asyncio.create_task(self._run(), name="registry-heartbeat")

    async def stop(self) -> None:
        """Take this node out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._nodes.gone(self.node_id)
        except NotifyError as error:
            log.warning("node_not_taken_out", reason=error.detail)  # its heartbeat runs out by itself

    async def alive(self) -> list[str]:
        """The nodes that live, this one among them. Raises Unavailable."""
        return await self._nodes.alive()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._nodes.beat(self.node_id)
            except NotifyError as error:
                log.warning("heartbeat_failed", reason=error.detail)
