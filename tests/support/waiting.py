"""Waiting for what is going to be so: by looking again and again, and not for ever."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE_S = 30.0
"""Long enough for a machine on which much else runs; what comes at all comes long before."""
_LOOK_EVERY_S = 0.005


async def until(condition: Callable[[], Any | Awaitable[Any]], *, within_s: float = PATIENCE_S) -> Any:
    """What `condition` returns, or what awaiting that gives, as soon as it is true. TimeoutError if never."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(_LOOK_EVERY_S)


def wait_until(condition: Callable[[], Any], *, within_s: float = PATIENCE_S) -> Any:
    """The same, for tests without a loop."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true")
        time.sleep(_LOOK_EVERY_S)
    return found
