"""A stock JavaScript client, watched like the light ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.record import Record
from tests.support.clients.javascript import JavaScript, JsClient
from tests.support.tokens import mint


@dataclass
class StockPerson(Record):
    """socket.io-client as it comes; `local_address` is one of 127.0.0.0/8."""

    javascript: JavaScript = field(default_factory=JavaScript)
    url: str = ""
    transports: Sequence[str] = ("websocket",)
    oldest: bool = False
    """4.0 instead of the current one: it cannot recover, and is told so each time."""
    local_address: str = "127.0.0.1"
    upgrades: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why its connection was lost, each time."""
    token: Callable[..., str] = mint
    """Signs its token."""
    _client: JsClient | None = None

    async def start(self) -> None:
        """Begin to connect."""
        self._client = await self.javascript.connect(
            self.url,
            heard=self._heard,
            oldest=self.oldest,
            transports=list(self.transports),
            auth={"token": self.token(self.user, join=list(self.rooms))},
            localAddress=self.local_address,
            timeout=5000,  # the one option that is not the default: what a frozen node costs a client at most
        )

    async def stop(self) -> None:
        """Nothing: all of them go when their process ends."""

    async def cut(self) -> None:
        """Lose the connection."""
        if self._client is not None:
            await self._client.cut()

    def _heard(self, line: dict[str, Any]) -> None:
        if line["type"] == "event" and line["event"] == "notification":
            notification, offset = line["args"]
            self.took(notification["title"], offset, line["at"])
        elif line["type"] == "connect":
            self.admitted(line["at"], recovered=bool(line["recovered"]))
        elif line["type"] == "upgrade":
            self.upgrades += 1
        elif line["type"] == "disconnect":
            self.reasons.append(line["reason"])
            self.lost(line["at"])
