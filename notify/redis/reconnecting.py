"""The one loop that makes a lost connection to Redis again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import structlog

from notify.domain.errors import NotifyError

RECONNECT_MIN_S, RECONNECT_MAX_S = 0.05, 1.0

log = structlog.get_logger(__name__)


class Losable(Protocol):
    """A connection that says when it is gone."""

    lost: asyncio.Future[None]


L = TypeVar("L", bound=Losable)


class Reconnecting(Generic[L]):
    """Keeps one connection: whenever it is lost, makes another. It tries after 50 ms, later each second.

    `connect` makes a connection *and* brings it to where it can be used, or raises NotifyError and leaves
    nothing open. `on_lost`, `on_failed` (an attempt failed) and `on_back` must not raise. `name` is the first
    word of what is logged: `<name>_lost`, `<name>_unreachable`, `<name>_back`.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[L]],
        *,
        name: str,
        on_lost: Callable[[], None],
        on_failed: Callable[[], None],
        on_back: Callable[[], None],
    ) -> None:
        self.current: L | None = None
        """The connection that stands, or the one that was lost last; None before the start."""
        self._connect = connect
        self._name = name
        self._on_lost = on_lost
        self._on_failed = on_failed
        self._on_back = on_back
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect for the first time, and keep the connection from then on. Raises NotifyError."""
        self.current = await self._connect()
        self._task = asyncio.create_task(self._keep(self.current), name=f"{self._name}-keeper")

    async def stop(self) -> None:
        """Keep it no longer. The connection itself is left as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _keep(self, connection: L) -> None:
        while True:
            await asyncio.shield(connection.lost)
            self._on_lost()
            log.warning(f"{self._name}_lost")
            connection = self.current = await self._again()
            self._on_back()
            log.info(f"{self._name}_back")

    async def _again(self) -> L:
        delay_s = RECONNECT_MIN_S
        while True:
            try:
                return await self._connect()
            except NotifyError as error:
                self._on_failed()
                log.warning(f"{self._name}_unreachable", reason=error.detail, retry_in_s=round(delay_s, 2))
            except Exception:
                self._on_failed()
                log.exception(f"{self._name}_unreachable")
            # Jitter, so that not all nodes come at the same moment when Redis is back.
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
            delay_s = min(delay_s * 2, RECONNECT_MAX_S)
