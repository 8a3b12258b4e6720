"""One pipelined connection to Redis.

All commands of one turn of the event loop leave in one write, and their replies come back in order. A Redis
that hangs is distinguished from one that is busy by its replies: when none of what was sent has been answered
for the timeout, the connection is dead, whatever TCP says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from notify.domain.errors import Unavailable
from notify.redis.stats import RedisStats

IN_FLIGHT = 128
"""Commands that Redis is given at once: it answers a pipeline only when it has run all of it, and until then
a busy Redis looks like one that hangs."""

Argument = str | bytes | int | float
_NOTHING = object()


class ReplyError(Exception):
    """Redis answered with an error. `kind` is its first word, such as `OOM` or `NOSCRIPT`."""

    @property
    def kind(self) -> str:
        """The first word of the answer."""
        return str(self).partition(" ")[0]


class Callback:
    """What is called with a reply, or with the error in its place, in the turn of the loop in which it comes.

    It stands where a future would stand, without the turn that a future takes to wake who waits for it.
    """

    __slots__ = ("_called",)

    def __init__(self, called: Callable[[Any], None]) -> None:
        self._called = called

    def done(self) -> bool:
        """Nobody can take it back."""
        return False

    def set_result(self, reply: Any) -> None:
        """Call it. What it raises is ours, and must not look like a fault of the connection."""
        try:
            self._called(reply)
        except Exception as error:  # noqa: BLE001 - the other replies are still to be read
            asyncio.get_running_loop().call_exception_handler(
                {"message": "What was done with a reply of Redis failed", "exception": error}
            )

    set_exception = set_result


class Commands(asyncio.Protocol):
    """Commands in, replies out, in order. Made connected by `Connector.open`."""

    def __init__(self, *, timeout_s: float, stats: RedisStats) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is gone."""
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._stats = stats
        self._probe: tuple[int, float] | None = None
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_NOTHING)
        self._waiting: deque[asyncio.Future[Any] | Callback] = deque()
        self._outgoing: list[bytes] = []
        self._answered = 0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """True while commands can be sent."""
        return self._transport is not None

    @property
    def hosts(self) -> tuple[str, str] | None:
        """The address of this end and that of Redis; None over a unix socket, or when it is lost."""
        if self._transport is None:
            return None
        ends = [self._transport.get_extra_info(name) for name in ("sockname", "peername")]
        if not all(isinstance(end, tuple) for end in ends):
            return None
        return str(ends[0][0]), str(ends[1][0])

    @property
    def now(self) -> float:
        """The time of its loop."""
        return self._loop.time()

    def call(self, command: Sequence[Argument]) -> asyncio.Future[Any]:
        """Send a command; the future holds its reply (bytes, int, list, None) or ReplyError.

        Fails with Unavailable when the connection is lost or hangs first: Redis may or may not have run it
        then. Cancelling the future does not take the command back.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._send(command, future)
        return future

    def call_back(self, command: Sequence[Argument], called: Callable[[Any], None]) -> None:
        """Send a command; `called` gets its reply, or the ReplyError or Unavailable in its place."""
        self._send(command, Callback(called))

    def _send(self, command: Sequence[Argument], waiting: asyncio.Future[Any] | Callback) -> None:
        if self._transport is None:
            waiting.set_exception(Unavailable("Redis is away", retry_after_s=1))
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]
        self._waiting.append(waiting)

    def _flush(self) -> None:
        room = IN_FLIGHT - (len(self._waiting) - len(self._outgoing))
        if self._transport is None or not self._outgoing or room <= 0:
            return
        outgoing, self._outgoing = self._outgoing[:room], self._outgoing[room:]
        self._stats.commands += len(outgoing)
        self._stats.pipelines += 1
        if self._probe is None:  # one command at a time is timed: the last of a write
            self._probe = (self._answered + len(self._waiting) - len(self._outgoing), self._loop.time())
        self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))
        if self._watch is None:
            self._arm()

    def _arm(self) -> None:
        # Half the timeout, because a command may be sent just after the watch was set.
        self._watch = self._loop.call_later(self._timeout_s / 2, self._check, self._answered)

    def _check(self, answered: int) -> None:
        self._watch = None
        if not self._waiting:
            return
        if self._answered == answered:
            self.abort(f"Redis did not answer within {self._timeout_s:g} s")
        else:
            self._arm()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                future = waiting.popleft()
                self._answered += 1
                if future.done():
                    continue
                if isinstance(reply, ReplyError):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
            if self._probe is not None and self._answered >= self._probe[0]:
                self._stats.latency.observe(self._loop.time() - self._probe[1])
                self._probe = None
            if self._outgoing:
                self._flush()
        except (hiredis.ProtocolError, IndexError) as error:
            self.abort(f"Redis sent something that cannot be read: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the connection to Redis was lost")

    def abort(self, why: str) -> None:
        """Drop the connection at once; everything that waits fails with Unavailable."""
        if self._transport is not None:
            self._transport.abort()
        self._end(why)

    def _end(self, why: str) -> None:
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(Unavailable(f"{why[0].upper()}{why[1:]}", retry_after_s=1))
        if not self.lost.done():
            self.lost.set_result(None)
