"""Messages to oneself through Redis: does one hear at all, and has one heard everything up to a point?"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import structlog

from notify.backplane.connection import Connection
from notify.backplane.stats import BackplaneStats
from notify.domain.errors import NotifyError, Unavailable
from notify.domain.offset import Offset

INTERVAL_S = 5.0
LOST_S = 15.0
BARRIER_TIMEOUT_S = 5.0
BARRIER_AGAIN_S = 0.25

log = structlog.get_logger(__name__)


class Echo(Protocol):
    """What the canary asks of the store."""

    async def echo(self, topic: str, token: str) -> None:
        """Publish `canary <token> <clock>` on a topic. Raises Unavailable."""


class Canary:
    """Sends itself a message every 5 s by the command connection, and listens for it on the subscription.

    When none has come back for 15 s the subscription is dead, whatever TCP says, and is cut.
    """

    def __init__(self, *, store: Echo, topic: str, stats: BackplaneStats) -> None:
        self.deaf = False
        """Nothing comes back though Redis takes what is sent: this node alone does not hear."""
        self.heard_at = 0.0
        """When the last one came back, on the monotonic clock."""
        self._store = store
        self._topic = topic
        self._stats = stats
        self._sent = 0
        self._silent_since = 0.0
        self._barriers: dict[str, asyncio.Future[None]] = {}

    def restart(self) -> None:
        """There is a new subscription: its silence counts from now on."""
        self.heard_at = self._silent_since = time.monotonic()

    def _token(self) -> str:
        self._sent += 1
        return f"{self._sent}:{time.monotonic()}"

    async def barrier(self, connection: Connection | None) -> None:
        """Wait until everything that was published before now has come in by `connection`.

        Raises Unavailable when it is lost first, or when nothing comes back.
        """
        token = self._token()
        heard = self._barriers[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(BARRIER_TIMEOUT_S):
                # The subscription to our own topic may be confirmed only after a first one was published.
                while not heard.done():
                    await self._store.echo(self._topic, token)
                    lost = [connection.lost] if connection is not None else []
                    await asyncio.wait(
                        [heard, *lost], timeout=BARRIER_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    if not heard.done() and (connection is None or connection.lost.done()):
                        raise Unavailable("The subscription was lost again", retry_after_s=1)
        except TimeoutError as error:
            raise Unavailable("What this node publishes does not come back", retry_after_s=1) from error
        finally:
            del self._barriers[token]

    def hear(self, payload: bytes) -> Offset | None:
        """One has come back; the clock that it carries: everything up to there has come in before it.

        None for what is not a canary, which is counted.
        """
        try:
            _, token, clock = payload.decode().split(" ")
            took_s = time.monotonic() - float(token.partition(":")[2])
        except ValueError:
            took_s, clock = -1.0, ""
        if not 0 <= took_s < 3600:
            self._stats.malformed["canary"] += 1
            return None
        self.heard_at = self._silent_since = time.monotonic()
        self._stats.canary_lag_s = took_s
        self.deaf = False
        barrier = self._barriers.get(token)
        if barrier is not None and not barrier.done():
            barrier.set_result(None)
        return Offset.parse(clock)

    async def watch(self) -> bool:
        """Send the next one, after the interval; False when none has come back for too long."""
        await asyncio.sleep(INTERVAL_S)
        answered = True
        try:
            await self._store.echo(self._topic, self._token())
        except NotifyError:
            answered = False  # Redis is away: then every node is deaf, and none is to be blamed
        silent_s = time.monotonic() - self._silent_since
        if silent_s <= LOST_S:
            return True
        self._stats.canaries_lost += 1
        self.deaf = answered
        log.warning("canary_lost", silent_s=round(silent_s, 1), redis_answers=answered)
        self._silent_since = time.monotonic()
        return False
