"""The stock Python client, `socketio.AsyncClient`, as a log of what happens to it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

import aiohttp
import socketio

PATIENCE_S = 60.0


class PythonClient:
    """One client. What has happened to it is in `log`, in order."""

    def __init__(self, url: str, *, transport: str, token: str = "") -> None:
        self._url, self._transport, self._token = url, transport, token
        self.log: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        # One of its own: python-engineio leaves those that it makes unclosed when an attempt fails.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        self._client = socketio.AsyncClient(
            reconnection_delay=0.1, reconnection_delay_max=0.5, http_session=self._session
        )
        self._client.on("connect", self._connected)
        self._client.on("disconnect", self._disconnected)
        self._client.on("notification", self._notified)
        auth = {"token": self._token, "recovery": False}
        await self._client.connect(self._url, auth=auth, transports=[self._transport], retry=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.shutdown()
        await self._session.close()

    async def wait(self, kind: str, *, after: int = 0, **fields: Any) -> dict[str, Any]:
        """The first entry of a type, with the given fields, past position `after` of the log."""
        wanted = {"type": kind, **fields}
        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                while True:
                    for line in self.log[after:]:
                        if wanted.items() <= line.items():
                            return line
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"no {wanted} in {PATIENCE_S} s; log: {self.log[-20:]}") from None

    async def _connected(self) -> None:
        await self._say("connect", sid=self._client.get_sid())

    async def _disconnected(self, reason: str) -> None:
        await self._say("disconnect", reason=reason)

    async def _notified(self, notification: dict[str, Any]) -> None:
        await self._say("notification", title=notification["title"])

    async def _say(self, kind: str, **fields: Any) -> None:
        async with self._changed:
            self.log.append({"type": kind, **fields, "at": time.monotonic()})
            self._changed.notify_all()
