"""Stock clients in other languages, which do not recover a session but have to come back."""

from __future__ import annotations

import itertools
from typing import Any

from tests.chaos.world import World
from tests.support.clients.java import JavaClient
from tests.support.clients.python import PythonClient
from tests.support.debian import Missing
from tests.support.tokens import mint


class Foreigners:
    """A Java and a Python client on each transport, as far as they can be had."""

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.missing = ""

    async def connect(self, here: World, url: str) -> None:
        """Connect them all; they leave when the scenario ends."""
        for language, kind in (("java", JavaClient), ("python", PythonClient)):
            for transport in ("websocket", "polling"):
                name = f"{language}-{transport}"
                client = kind(url, transport=transport, token=mint(name))
                try:
                    await here.stack.enter_async_context(client)
                except Missing as missing:
                    self.missing = str(missing)
                    break
                self.clients[name] = client
        for client in self.clients.values():
            await client.wait("connect")

    @property
    def all_connected(self) -> bool:
        """True when whatever happened to each of them last is a connect."""
        return all(self._news(client)[-1]["type"] == "connect" for client in self.clients.values())

    def figures(self) -> dict[str, str]:
        """How often each came back, and how long that took at most."""
        found = {}
        for name, client in self.clients.items():
            news = self._news(client)
            away = [
                later["at"] - before["at"]
                for before, later in itertools.pairwise(news)
                if (before["type"], later["type"]) == ("disconnect", "connect")
            ]
            found[name] = f"back {len(away)} times, in {max(away, default=0):.1f} s at most"
        return found | ({"other clients": self.missing} if self.missing else {})

    def _news(self, client: Any) -> list[dict[str, Any]]:
        return [line for line in client.log if line["type"] in ("connect", "disconnect")]
