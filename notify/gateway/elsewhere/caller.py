"""A link from another node: its calls about sessions of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from notify.gateway.engineio.transports.polling import BrokenBody, Poll, Post, TooLarge
from notify.gateway.http.errors import Refused
from notify.protocol.engineio import Wire
from notify.protocol.links import Kind, Message, decode


class Home(Protocol):
    """This node's sessions (`engineio.http_edge.HttpEdge`)."""

    async def poll(self, sid: str, poll: Poll) -> bytes:
        """The body of the answer to a GET. Raises `Refused`."""

    async def post(self, sid: str, post: Post) -> None:
        """Take what a client has posted. Raises `Refused`."""

    def lost(self, sid: str) -> None:
        """Something did not reach a client."""

    def release(self, sid: str) -> None:
        """Answer the GET that waits."""


class Departures(Protocol):
    """How sessions of this node leave for others (`sessions.moving_out.MovingOut`).

    `asker` is the link of the node to which a client's websocket has come.
    """

    def may_move(self, sid: str, asker: object) -> None:
        """Whether a session may leave. Raises `Refused`."""

    async def probe(self, sid: str, asker: object) -> bytes:
        """Nothing, once polls do not wait any more. Raises `Refused`."""

    def stays(self, sid: str, asker: object) -> None:
        """It does not leave; nothing when it has."""

    async def describe(self, sid: str, asker: object) -> bytes:
        """The session as it stands. Raises `Refused`."""

    async def cut(self, sid: str, asker: object, order: bytes) -> bytes:
        """Nothing, once this node does not deliver to it any more. Raises `Refused`."""

    async def take(self, sid: str, asker: object) -> bytes:
        """Let it go. Raises `Refused`: then it stays."""


class DistantPoll:
    """A GET of a client that is connected to another node."""

    __slots__ = ("_answer", "gone")

    def __init__(self) -> None:
        self.gone = False
        self._answer: asyncio.Future[Any] | None = None

    @property
    def waits(self) -> bool:
        """True while there is nothing to answer it with."""
        return self._answer is None or not self._answer.done()

    def watch(self, answer: asyncio.Future[bytes | list[Wire]]) -> None:
        """Have the answer fail when the client, or its node, goes."""
        self._answer = answer

    def go(self) -> None:
        """The client has gone."""
        self.gone = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("The client has gone"))


class DistantPost:
    """A POST of a client that is connected to another node, which has read it."""

    __slots__ = ("_body", "binary")

    def __init__(self, body: bytes | None) -> None:
        """None for a body that could not be read."""
        self.binary = False
        self._body = body

    async def read(self, limit: int) -> bytes:
        """The body. Raises `TooLarge`, `BrokenBody`."""
        if self._body is None:
            raise BrokenBody
        if len(self._body) > limit:
            raise TooLarge
        return self._body


class Caller:
    """Serves one link until it ends. The calls are answered as they get ready."""

    def __init__(
        self, websocket: web.WebSocketResponse, home: Home, departures: Departures, *, secret: str
    ) -> None:
        """`secret`: what the other node has proved itself with."""
        self.secret = secret
        self._websocket = websocket
        self._home = home
        self._departures = departures
        self._leaving: set[str] = set()
        self._polls: dict[int, DistantPoll] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Until the link ends: then whoever waited behind it has gone."""
        try:
            async for message in self._websocket:
                if message.type is not WSMsgType.BINARY:
                    break
                self._take(decode(message.data))
        except ValueError:
            pass  # no node says such a thing
        finally:
            for poll in self._polls.values():
                poll.go()
            for sid in self._leaving:
                self._departures.stays(sid, self)
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        """End the link."""
        await self._websocket.close()

    def _take(self, message: Message) -> None:
        kind, number, sid, body = message
        if kind is Kind.POLL:
            poll = self._polls[number] = DistantPoll()
            self._begin(self._poll(number, sid, poll))
        elif kind is Kind.POST:
            self._begin(self._post(number, sid, DistantPost(body)))
        elif kind is Kind.BAD_POST:
            self._begin(self._post(number, sid, DistantPost(None)))
        elif kind is Kind.RELEASE:
            if number in self._polls:
                self._home.release(sid)
        elif kind is Kind.GONE:
            waiting = self._polls.get(number)
            if waiting is not None and waiting.waits:
                waiting.go()
            else:
                self._home.lost(sid)
        else:
            self._take_of_move(message)

    def _take_of_move(self, message: Message) -> None:
        kind, number, sid, body = message
        departures = self._departures
        if kind is Kind.MAY_MOVE:
            self._may_move(number, sid)
        elif kind is Kind.PROBE:
            self._begin(self._answer(number, departures.probe(sid, self)))
        elif kind is Kind.DESCRIBE:
            self._begin(self._answer(number, departures.describe(sid, self)))
        elif kind is Kind.CUT:
            self._begin(self._answer(number, departures.cut(sid, self, body)))
        elif kind is Kind.TAKE:
            self._begin(self._answer(number, departures.take(sid, self)))
        elif kind is Kind.STAYS:
            self._leaving.discard(sid)
            departures.stays(sid, self)

    def _may_move(self, number: int, sid: str) -> None:
        # At once: that it stays may be said right behind.
        try:
            self._departures.may_move(sid, self)
        except Refused as refused:
            self._begin(self._refuse(number, refused))
            return
        self._leaving.add(sid)
        self._begin(self._say(Message(Kind.ANSWER, number)))

    async def _answer(self, number: int, call: Awaitable[bytes]) -> None:
        try:
            body = await call
        except Refused as refused:
            await self._refuse(number, refused)
            return
        await self._say(Message(Kind.ANSWER, number, body=body))

    def _begin(self, call: Any) -> None:
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _poll(self, number: int, sid: str, poll: DistantPoll) -> None:
        try:
            body = await self._home.poll(sid, poll)
        except Refused as refused:
            await self._refuse(number, refused)
            return
        finally:
            self._polls.pop(number, None)
        if not await self._say(Message(Kind.ANSWER, number, body=body)):
            self._home.lost(sid)

    async def _post(self, number: int, sid: str, post: DistantPost) -> None:
        try:
            await self._home.post(sid, post)
        except Refused as refused:
            await self._refuse(number, refused)
            return
        await self._say(Message(Kind.ANSWER, number))

    async def _refuse(self, number: int, refused: Refused) -> None:
        text = f"{refused.code} {refused.status}"
        await self._say(Message(Kind.REFUSAL, number, text, refused.message.encode()))

    async def _say(self, message: Message) -> bool:
        with suppress(ConnectionError):
            await self._websocket.send_bytes(message.encode())
            return True
        return False
