"""A link to another node, as the side sees it that calls."""

from __future__ import annotations

import asyncio
from itertools import cycle

import aiohttp
import structlog

from notify.gateway.http.errors import Refused
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import Wire
from notify.protocol.links import MAX_NUMBER, NO_CALL, VERSION, Kind, Message, decode

HEARTBEAT_S = 3.0
"""How often a link is tried. A node that does not answer for half of this again has failed."""

Answer = asyncio.Future[bytes | list[Wire]]
"""What comes of a call: bytes, by a link. Lists are what a poll at home may get."""

log = structlog.get_logger(__name__)


class LinkLost(ConnectionError):
    """The other node has gone, or cannot be reached: nobody knows what became of the call."""


class Link:
    """One websocket to another node. Any number of calls are under way at once."""

    def __init__(
        self, websocket: aiohttp.ClientWebSocketResponse, *, mark: str, secret: str, stats: GatewayStats
    ) -> None:
        """`secret`: what this node has proved itself with."""
        self.mark = mark
        self.secret = secret
        self.moves_sessions = websocket.protocol == VERSION
        """False where the other node is of the version before."""
        self._websocket = websocket
        self._stats = stats
        self._numbers = cycle(range(NO_CALL + 1, MAX_NUMBER + 1))
        self._calls: dict[int, Answer] = {}
        self._retired = False
        stats.links["here"] += 1
        self._reader = asyncio.create_task(self._read(), name=f"link-{mark}")
        self._reader.add_done_callback(self._ended)

    @property
    def stands(self) -> bool:
        """False once it is lost, or closed."""
        return not self._reader.done() and not self._websocket.closed

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def begin(self, answer: Answer) -> int:
        """The number of a new call, whose answer will be set, or fail with `Refused` or `LinkLost`."""
        number = next(self._numbers)
        self._calls[number] = answer
        return number

    def end(self, number: int) -> None:
        """A call needs no answer any more, or has it."""
        self._calls.pop(number, None)
        if self._retired and not self._calls:
            self._reader.cancel()

    async def send(self, kind: Kind, number: int, sid: str, body: bytes = b"") -> None:
        """Say something about a call. Raises LinkLost."""
        try:
            await self._websocket.send_bytes(Message(kind, number, sid, body).encode())
        except (ConnectionError, aiohttp.ClientError) as error:
            raise LinkLost("The link to the session's node is lost") from error

    def retire(self) -> None:
        """Close it as soon as no call is under way."""
        self._retired = True
        if not self._calls:
            self._reader.cancel()

    async def aclose(self) -> None:
        """Close it now; the calls under way fail."""
        self._reader.cancel()
        await asyncio.wait((self._reader,))

    async def _read(self) -> None:
        try:
            async for message in self._websocket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                self._take(decode(message.data))
        except ValueError:
            log.exception("link_misunderstood", mark=self.mark)
        finally:
            await self._websocket.close()

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._stats.links["here"] -= 1
        calls, self._calls = self._calls, {}
        for answer in calls.values():
            if not answer.done():
                answer.set_exception(LinkLost("The link to the session's node is lost"))

    def _take(self, message: Message) -> None:
        answer = self._calls.get(message.number)
        if answer is None or answer.done():
            return
        if message.kind is Kind.ANSWER:
            answer.set_result(message.body)
        elif message.kind is Kind.REFUSAL:
            code, status = message.text.split(" ")
            answer.set_exception(Refused(int(code), message.body.decode(), status=int(status)))
