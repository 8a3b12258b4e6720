"""HTTP long-polling: the GET that waits and the POST that brings (Engine.IO protocol v4, "Transports")."""

from __future__ import annotations

import asyncio
from typing import Protocol

from notify.gateway.engineio.packet import NOOP
from notify.protocol.engineio import RECORD_SEPARATOR, Wire, joined

PACKETS_A_TURN = 128
"""Packets of one POST that are handled before others have their turn of the loop."""
UPGRADE_POLL_S = 0.1
"""While a websocket is taking over, a poll without packets is held for so long: no busy loop."""
OVERTAKING_POLL_S = 0.02
"""The first of those while a websocket is at another node: it may have overtaken the client's word there."""
_SEPARATOR = RECORD_SEPARATOR.decode()


class TooLarge(Exception):
    """A POST past `max_http_buffer_size`."""


class SessionOver(Exception):
    """The session has ended while a GET waited: it is to be answered like one that knows no session."""


class SetAside(Exception):
    """The client has gone over to another node while a GET waited: wait on until the session has, too."""


class BrokenBody(Exception):
    """A POST whose body was none, took too long, or was cut off by a proxy."""


class Poll(Protocol):
    """A GET that a client has sent, to this node or to another."""

    @property
    def gone(self) -> bool:
        """True when nobody is there any more to take the answer."""

    def watch(self, answer: asyncio.Future[bytes | list[Wire]]) -> None:
        """Have the answer fail with a ConnectionError when the client goes, or be cancelled by a shutdown."""


class Post(Protocol):
    """A POST, whose body may still be on its way."""

    @property
    def binary(self) -> bool:
        """True for `application/octet-stream`."""

    async def read(self, limit: int) -> bytes:
        """The body. Raises `TooLarge` past the limit, `BrokenBody`, or ConnectionError."""


class PollingOwner(Protocol):
    """Whose packets are polled, and who gets what is posted. All but `caught_up` is synchronous."""

    reason: str | None
    """Why the session has ended; None while it has not."""
    queue: list[Wire] | None

    @property
    def upgrading(self) -> bool:
        """True while a websocket is taking over: polls must not wait."""

    @property
    def leaving(self) -> bool:
        """True while a websocket at another node is to take over, or may be."""

    @property
    def survives(self) -> bool:
        """False once the session has ended by what a POST brought, unless that said so itself."""

    def take(self) -> list[Wire]:
        """The queue, which is empty afterwards."""

    def polling_failed(self) -> None:
        """A poll was given up, or came twice: packets may have been lost with it."""

    def protocol_error(self) -> None:
        """The client has sent what it must not."""

    def flooded(self) -> None:
        """The client sends more than any client does."""

    def text_received(self, text: str, /) -> None:
        """A text packet."""

    async def caught_up(self) -> None:
        """Wait until packets are taken again."""


class Polling:
    """The long-polling side of one connection."""

    __slots__ = (
        "_answer",
        "_behind",
        "_max_body_bytes",
        "_max_packets",
        "_noops",
        "_posted",
        "_posting",
        "_timer",
        "owner",
    )

    def __init__(self, *, max_body_bytes: int, max_packets: int | None = None) -> None:
        """`max_packets`: what the client may post between two calls of `begin_interval`."""
        self.owner: PollingOwner
        self._max_body_bytes = max_body_bytes
        self._max_packets = max_packets
        self._posted = 0
        self._answer: asyncio.Future[bytes | list[Wire]] | None = None
        """The GET that waits."""
        self._behind = False
        """It came when a websocket was at another node already, and may be later than that one's word."""
        self._timer: asyncio.TimerHandle | None = None
        self._posting = False
        self._noops = 0

    @property
    def waits(self) -> bool:
        """True while a GET waits for packets."""
        return self._answer is not None and not self._answer.done()

    @property
    def posting(self) -> bool:
        """True while a POST is being taken."""
        return self._posting

    def answer(self, body: bytes | list[Wire]) -> None:
        """Answer the GET that waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(body)

    def turn_away(self) -> None:
        """The session is over: answer the GET that waits as if there had never been one.

        In every language a client comes back then; of those that get CLOSE, some stay away.
        """
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(SessionOver())

    def begin_interval(self) -> None:
        """Count the client's packets from here on."""
        self._posted = 0

    def release(self) -> None:
        """A websocket is taking over: end the GET that waits, with the packets there are or with a NOOP.

        At once, unless the client may have gone over before it sent the GET, and its word be on its way.
        """
        if self._behind:
            self._hold()
        else:
            self._release()

    def set_aside(self) -> None:
        """The client has gone over to another node: no packet leaves by the GET that waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(SetAside())

    def _hold(self) -> None:
        if self._timer is None:
            hold_s = UPGRADE_POLL_S if self._noops or not self._behind else OVERTAKING_POLL_S
            self._timer = asyncio.get_running_loop().call_later(hold_s, self._release)

    def _release(self) -> None:
        if self.waits:
            self._noops += 1
            self.nudge()

    def nudge(self) -> None:
        """End the GET that waits, with the packets there are or with a NOOP: the client polls again."""
        if self.waits:
            self.answer(self.owner.take() or NOOP)

    async def get(self, poll: Poll) -> bytes | None:
        """The body of the answer to a GET; None when it must not be answered with one.

        A second GET while one waits closes the session, and so does one that the client gives up: packets may
        have been lost with it. Packets are taken from the queue only when the client is still there.

        Raises `SessionOver`, `SetAside`.
        """
        owner = self.owner
        if self._answer is not None:
            owner.polling_failed()
            return None
        if owner.queue is not None:
            return self._body(poll, owner.take())
        if owner.upgrading and not owner.leaving:
            self._noops += 1
            if self._noops == 1:
                return NOOP
        if poll.gone:
            return self._body(poll, NOOP)
        answer = self._answer = asyncio.get_running_loop().create_future()
        self._behind = owner.leaving
        if owner.upgrading:
            self._hold()
        poll.watch(answer)
        try:
            return self._body(poll, await answer)
        except (ConnectionError, asyncio.CancelledError) as error:
            owner.polling_failed()
            if isinstance(error, asyncio.CancelledError):
                raise
            return None
        finally:
            self._answer = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _body(self, poll: Poll, packets: bytes | list[Wire]) -> bytes | None:
        if poll.gone:
            self.owner.polling_failed()
            return None
        return packets if isinstance(packets, bytes) else joined(packets)

    async def post(self, post: Post) -> bool:
        """Take the packets of a POST, in order. False when the session did not survive them.

        Raises `TooLarge`, which the session survives.
        """
        owner = self.owner
        if self._posting or post.binary:
            # Two bodies at once have no order; version 4 has no binary bodies.
            owner.protocol_error()
            return False
        self._posting = True
        try:
            body = await post.read(self._max_body_bytes)
            return await self._take(body.decode().split(_SEPARATOR))
        except (UnicodeDecodeError, BrokenBody):
            owner.protocol_error()
            return False
        except (ConnectionError, asyncio.CancelledError) as error:
            owner.polling_failed()
            if isinstance(error, asyncio.CancelledError):
                raise
            return False
        finally:
            self._posting = False

    async def _take(self, packets: list[str]) -> bool:
        owner = self.owner
        self._posted += len(packets)
        if self._max_packets is not None and self._posted > self._max_packets:
            owner.flooded()
            return False
        for number, packet in enumerate(packets, 1):
            if owner.reason is not None:
                return False
            owner.text_received(packet)
            if number % PACKETS_A_TURN == 0:
                await asyncio.sleep(0)
        await owner.caught_up()
        return owner.survives
