"""Messages that a node sends itself through Redis, to know that it hears, and has heard everything."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import NamedTuple, Protocol

import structlog

from notify.backplane.stats import BackplaneStats
from notify.domain.errors import NotifyError, Unavailable
from notify.domain.offset import Offset
from notify.redis.subscription import Subscription

INTERVAL_S = 5.0
LOST_S = 15.0
BARRIER_TIMEOUT_S = 5.0
BARRIER_AGAIN_S = 0.25

log = structlog.get_logger(__name__)


class Echo(Protocol):
    """What the canary asks of the store."""

    async def echo(self, topic: str, token: str) -> None:
        """Publish `canary <token> <clock> <unix ms of Redis>` on a topic. Raises Unavailable."""


class Heard(NamedTuple):
    """What a canary brings: everything up to `clock`, and at it, has come in before it."""

    clock: Offset
    redis_ms: int


class Canary:
    """Sends itself a message every 5 s by the command connection, and listens for it on the subscription.

    When none has come back for 15 s the subscription is dead, whatever TCP says, and is cut.
    """

    def __init__(self, *, store: Echo, topic: str, stats: BackplaneStats) -> None:
        self.deaf = False
        """Nothing comes back although Redis accepts what is sent: this node alone is deaf."""
        self._store = store
        self._topic = topic
        self._stats = stats
        self._secret = secrets.token_hex(8)
        self._sent = 0
        self._soon: asyncio.Event = asyncio.Event()
        self._silent_since = 0.0
        self._barriers: dict[str, asyncio.Future[None]] = {}

    def restart(self) -> None:
        """There is a new subscription: silence is timed from now on."""
        self._silent_since = time.monotonic()

    def _token(self) -> str:
        self._sent += 1
        return f"{self._secret}:{self._sent}:{time.monotonic()}"

    def rename(self, topic: str) -> None:
        """Use another topic for this node's canaries. Call it before the first one is sent."""
        self._topic = topic

    def ask_soon(self) -> None:
        """Send the next canary now."""
        self._soon.set()

    async def barrier(self, connection: Subscription | None) -> None:
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
            raise Unavailable("This node does not receive what it publishes", retry_after_s=1) from error
        finally:
            del self._barriers[token]

    def hear(self, payload: bytes) -> Heard | None:
        """One has come back; what it brings. None for what is not one of ours, which is counted."""
        try:
            _, token, clock, redis_ms = payload.decode().split(" ")
            secret, _, sent_s = token.split(":")
            took_s = time.monotonic() - float(sent_s)
            heard = Offset.parse(clock), int(redis_ms)
        except ValueError:
            secret, took_s, heard = "", -1.0, (None, 0)
        # Without the secret, a node of the same name, or anybody else, could tell us what the clock says.
        if heard[0] is None or secret != self._secret or not 0 <= took_s < 3600:
            self._stats.malformed["canary"] += 1
            return None
        self._silent_since = time.monotonic()
        self._stats.canary_lag_s = took_s
        self.deaf = False
        barrier = self._barriers.get(token)
        if barrier is not None and not barrier.done():
            barrier.set_result(None)
        return Heard(heard[0], heard[1])

    async def watch(self) -> bool:
        """Send the next one, after the interval; False when none has come back for too long."""
        try:
            async with asyncio.timeout(INTERVAL_S):
                await self._soon.wait()
        except TimeoutError:
            pass
        self._soon.clear()
        answered = True
        try:
            await self._store.echo(self._topic, self._token())
        except NotifyError:
            answered = False  # Redis is away: then every node is deaf, and the fault is not in this one
        silent_s = time.monotonic() - self._silent_since
        if silent_s <= LOST_S:
            return True
        self._stats.canaries_lost += 1
        self.deaf = answered
        log.warning("canary_lost", silent_s=round(silent_s, 1), redis_answers=answered)
        self._silent_since = time.monotonic()
        return False
