"""Waiting at the start until Redis can be reached."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from notify.domain.errors import Unavailable

RETRY_MIN_S, RETRY_MAX_S = 0.1, 2.0
SAY_EVERY_S = 10.0
"""How often to log that the node is still waiting."""

log = structlog.get_logger(__name__)


async def until_available(
    attempt: Callable[[], Awaitable[None]], *, within_s: float, event: str, say_every_s: float = SAY_EVERY_S
) -> None:
    """Try until it succeeds, for at most this long; 0: forever.

    Only Unavailable is waited for, since it may pass; it is raised when the time is up. Other errors are
    raised at once.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    said_at = -say_every_s
    delay_s = RETRY_MIN_S
    while True:
        try:
            return await attempt()
        except Unavailable as error:
            waited_s = loop.time() - began
            if within_s and waited_s + delay_s > within_s:
                raise
            if waited_s - said_at >= say_every_s:
                said_at = waited_s
                log.warning(event, reason=error.detail, waited_s=round(waited_s, 1))
        await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        delay_s = min(delay_s * 2, RETRY_MAX_S)
