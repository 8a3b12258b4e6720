"""How many connections this node takes, and how fast."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import ceil

from notify.gateway.stats import GatewayStats


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a handshake is not taken, for the client and for the metric."""

    reason: str
    message: str
    retry_after_s: int


class HandshakeLimits:
    """The gate before every handshake: draining, then the number of connections, then their rate.

    The rate is a token bucket: `rate` handshakes a second on average, `burst` of them at once.
    """

    __slots__ = ("_burst", "_max_connections", "_rate", "_refilled_at", "_stats", "_tokens", "draining")

    def __init__(
        self, *, stats: GatewayStats, max_connections: int | None, rate: float | None, burst: int | None
    ) -> None:
        if max_connections is not None and max_connections < 1:
            raise ValueError("max_connections must be at least 1, or None for no limit")
        if rate is not None and rate <= 0:
            raise ValueError("handshake_rate must be greater than 0, or None for no limit")
        self.draining = False
        """True: this node is going away and takes no new connections."""
        self._stats = stats
        self._max_connections = max_connections
        self._rate = rate
        self._burst = float(burst if burst is not None else max(1, ceil(rate or 0)))
        self._tokens = self._burst
        self._refilled_at = 0.0

    @property
    def unlimited(self) -> bool:
        """True when `refusal` would have nothing to count and nothing to refuse."""
        stats = self._stats
        return (
            not self.draining
            and self._rate is None
            and (
                self._max_connections is None
                or stats.polling_connections + stats.websocket_connections < self._max_connections
            )
        )

    @property
    def full(self) -> bool:
        """True when no connection may come that was taken by another node: its rate was judged there."""
        stats = self._stats
        return self.draining or (
            self._max_connections is not None
            and stats.polling_connections + stats.websocket_connections >= self._max_connections
        )

    def refusal(self) -> Refusal | None:
        """None when a handshake may go on, which is then counted against the rate."""
        stats = self._stats
        if self.draining:
            return self._refuse("draining", "This node is draining", 1)
        if (
            self._max_connections is not None
            and stats.polling_connections + stats.websocket_connections >= self._max_connections
        ):
            return self._refuse("connections", "This node has all the connections it takes", 5)
        if self._rate is not None:
            now = asyncio.get_running_loop().time()
            self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate)
            self._refilled_at = now
            if self._tokens < 1:
                return self._refuse(
                    "rate", "Too many handshakes at once", ceil((1 - self._tokens) / self._rate)
                )
            self._tokens -= 1
        return None

    def _refuse(self, reason: str, message: str, retry_after_s: int) -> Refusal:
        self._stats.handshakes_refused[reason] += 1
        return Refusal(reason, message, retry_after_s)
