"""Running the application's event handlers without a task for each event."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

log = logging.getLogger(__name__)

Job = Coroutine[Any, Any, None]


class Handlers:
    """Runs coroutines in tasks, many in one as long as they do not wait for anything.

    Coroutines start in the order in which they were submitted. One that waits keeps the task that it began
    in, and those behind it go on in another; so a handler can use `asyncio.timeout`, `current_task` and
    context variables as in a task of its own.
    """

    def __init__(self) -> None:
        self.context = contextvars.copy_context()
        """What handlers find set: what was when the server was made, never what another handler has set."""
        self._queue: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None
        """The task that takes jobs from the queue in this turn of the loop."""

    def submit(self, job: Job) -> None:
        """Run a coroutine, from the next turn of the loop on. What it raises is logged."""
        self._queue.append(job)
        if self._starting is None:
            self._start()

    @property
    def idle(self) -> bool:
        """True when no coroutine waits to be started."""
        return not self._queue

    async def close(self, *, grace_s: float = 0.0) -> None:
        """Wait `grace_s` for all to finish, then cancel the rest and wait for that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._tasks:
                    await asyncio.wait(tuple(self._tasks))
        while self._queue:
            self._queue.popleft().close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._tasks)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        task = self._starting = loop.create_task(self._work(), context=self.context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Runs right after the task's first step: whatever that has left in the queue is another's to do.
        loop.call_soon(self._relay, task)

    def _relay(self, task: asyncio.Task[None]) -> None:
        if self._starting is task:
            self._starting = None
            if self._queue:
                self._start()

    async def _work(self) -> None:
        task = asyncio.current_task()
        while self._starting is task and self._queue:
            job = self._queue.popleft()
            try:
                await _in_own_context(job)
            except Exception:
                log.exception("An event handler failed")


@types.coroutine
def _in_own_context(job: Job) -> Generator[Any, Any, None]:
    """Drive a coroutine in a copy of the context: handlers that share a task do not share that."""
    run = contextvars.copy_context().run
    step: Callable[[Any], Any] = job.send
    value: Any = None
    while True:
        try:
            yielded = run(step, value)
        except StopIteration:
            return
        try:
            value = yield yielded
            step = job.send
        except BaseException as error:  # noqa: BLE001 - cancellation and failures are the coroutine's to handle
            value, step = error, job.throw
