"""A Socket.IO client that does exactly what it is told, for what the stock clients never do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


class RawClient:
    """One websocket, one namespace. `packets` holds every Socket.IO packet received, in order."""

    def __init__(self, websocket: ClientConnection, namespace: str) -> None:
        self._websocket = websocket
        self.namespace = namespace
        self.packets: list[str] = []
        self.closed = asyncio.Event()
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls, url: str, auth: Any = None, *, namespace: str = "/", literally: str = ""
    ) -> RawClient:
        """Open a websocket and ask to be let in; `answer` waits for what becomes of it.

        `literally` is JSON in place of `auth`.
        """
        address = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        client = cls(await connect(address, compression=None, max_size=None), namespace)
        await client.send("40" + client._prefix + (json.dumps(auth) if auth is not None else literally))
        return client

    @property
    def _prefix(self) -> str:
        return "" if self.namespace == "/" else self.namespace + ","

    async def send(self, packet: str | bytes) -> None:
        """Send an Engine.IO packet; bytes are a binary message."""
        await self._websocket.send(packet)

    async def emit(self, event: str, *args: Any) -> None:
        """Send an event."""
        await self.send("42" + self._prefix + json.dumps([event, *args]))

    async def call(self, event: str, *args: Any) -> Any:
        """Send an event; the first argument of its acknowledgement."""
        number = len(self.packets) + 1000
        await self.send("42" + self._prefix + str(number) + json.dumps([event, *args]))
        return await self.acknowledged(number)

    async def acknowledged(self, number: int) -> Any:
        """The first argument of the acknowledgement with this number."""
        head = "3" + self._prefix + str(number) + "["
        packet = await self.until(lambda: next((p for p in self.packets if p.startswith(head)), None))
        return json.loads(packet[len(head) - 1 :])[0]

    async def answer(self) -> dict[str, Any]:
        """What CONNECT was answered: `{sid, pid}`, or the error with `refused: True`."""
        accepted, refused = "0" + self._prefix, "4" + self._prefix
        packet = await self.until(
            lambda: next((p for p in self.packets if p.startswith((accepted, refused))), None)
        )
        answer = json.loads(packet[len(accepted) :])
        return {**answer, "refused": packet.startswith("4")}

    @property
    def events(self) -> list[list[Any]]:
        """[name, arguments...] of each event received so far."""
        head = "2" + self._prefix
        return [json.loads(packet[len(head) :]) for packet in self.packets if packet.startswith(head)]

    @property
    def notifications(self) -> list[str]:
        """The titles of the notifications received so far."""
        return [event[1]["title"] for event in self.events if event[0] == "notification"]

    @property
    def offset(self) -> str | None:
        """The offset of the last event that had one, as a stock client keeps it."""
        strings = [event[-1] for event in self.events if isinstance(event[-1], str)]
        return strings[-1] if strings else None

    async def until(self, found: Any, *, within_s: float = 30.0) -> Any:
        """Wait until `found()` is true, and return what it is."""
        try:
            async with asyncio.timeout(within_s), self._changed:
                while not (result := found()):
                    await self._changed.wait()
                return result
        except TimeoutError:
            raise AssertionError(f"not in {within_s} s; packets: {self.packets[-10:]}") from None

    async def _read(self) -> None:
        try:
            async for message in self._websocket:
                if message == "2":
                    await self._websocket.send("3")
                elif isinstance(message, str) and message.startswith("4"):
                    async with self._changed:
                        self.packets.append(message[1:])
                        self._changed.notify_all()
        except ConnectionClosed:
            pass  # without a close frame: that is how a connection is ended for a client that is to come back
        finally:
            self.closed.set()

    async def lose(self) -> None:
        """Vanish without a word."""
        self._websocket.transport.abort()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def close(self) -> None:
        """Close the websocket as one should."""
        await self._websocket.close()
        await asyncio.gather(self._reader, return_exceptions=True)
