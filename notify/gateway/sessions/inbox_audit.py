"""Recounts the inboxes of connected users, one now and then. It should never find a difference."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence

from notify.domain.errors import NotifyError

INTERVAL_S = 60.0


class InboxAudit:
    """One task of a node. `check` says, counts and logs what differs; it changes nothing."""

    def __init__(
        self,
        *,
        users: Callable[[], Sequence[str]],
        check: Callable[[str], Awaitable[object]],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._users = users
        self._check = check
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start counting."""
        self._task = asyncio.create_task(self._run(), name="inbox-audit")

    async def stop(self) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            users = self._users()
            if users:
                # While Redis is away, which is counted elsewhere, there is nothing to count.
                with contextlib.suppress(NotifyError):
                    await self._check(random.choice(users))  # noqa: S311 - a sample
