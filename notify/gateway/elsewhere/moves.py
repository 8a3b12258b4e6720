"""Upgrades that land here of sessions that another node has: the session moves to this one.

Until the client says that it has gone over (Engine.IO protocol v4, "Upgrade"), nothing has happened, and
whatever goes wrong leaves it on long-polling. From then on it can only be here, or have to come back: the
other node lets the session go in one step, and this one has it once that has been said. What is not said in
time ends the websocket, and the client recovers, wherever the session is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from notify.domain.errors import NotifyError, Unavailable
from notify.gateway.elsewhere.link import Answer, Link, LinkLost
from notify.gateway.elsewhere.links import Links, NoSuchNode
from notify.gateway.engineio.packet import PROBE_ANSWER
from notify.gateway.engineio.timers import Bucket, Wheel
from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from notify.gateway.http.errors import BAD_REQUEST, UNKNOWN_SID, Refused
from notify.gateway.stats import GatewayStats
from notify.protocol.links import NO_CALL, Kind

ASK_S = 1.5
"""How long the other node may take to say whether a session may move."""
MOVE_S = 5.0
"""How long the move may take, from the client's word that it has gone over."""
TRIES = 8
"""Times that a session is asked for: it may change between being described and being handed over."""
RETRY_S = 0.25
"""After this node could not hear Redis: its connection may just be made again."""

log = structlog.get_logger(__name__)


class Newcomer(Protocol):
    """A session on its way here (`sessions.moving_in.Newcomer`)."""

    @property
    def order(self) -> bytes:
        """By what the other node is to make the cut."""

    @property
    def needs_cut(self) -> bool:
        """False for one to which nothing is delivered."""

    async def subscribed(self) -> None:
        """Wait until it may. Raises Unavailable."""

    async def heard(self) -> None:
        """Wait until the cut was heard here, too. Raises Unavailable."""

    async def take(self, handed: bytes) -> None:
        """It has been handed over. Raises ValueError, a NotifyError."""

    def complete(self, websocket: WebSocketProtocol, packets: Sequence[str | bytes], *, held: bool) -> None:
        """Have the websocket carry it. Raises a NotifyError."""

    def abandon(self) -> None:
        """It does not come."""

    def lose(self) -> None:
        """It has come, and its connection is lost."""


class Newcomers(Protocol):
    """Who takes sessions in (`sessions.moving_in.MovingIn`)."""

    def enter(self, sid: str, description: bytes, *, address: str) -> Newcomer:
        """Begin to take a session that was described. Raises ValueError, a NotifyError."""


class Moves:
    """Brings sessions here (`engineio.http_edge.Moves`)."""

    def __init__(
        self,
        links: Links,
        newcomers: Newcomers,
        *,
        stats: GatewayStats,
        deadlines: Wheel[Any],
        mark_length: int,
        sid_length: int,
        most: int,
        upgrade_timeout_s: float,
        takes_more: Callable[[], bool],
    ) -> None:
        """`most`: upgrades that may be under way at once. `takes_more`: whether one more client may come."""
        self.newcomers = newcomers
        self.stats = stats
        self.deadlines = deadlines
        self.upgrade_timeout_s = upgrade_timeout_s
        self._links = links
        self._mark_length = mark_length
        self._sid_length = sid_length
        self._most = most
        self._takes_more = takes_more
        self._asking = 0
        self._probes: set[MovingProbe] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, sid: str, *, address: str) -> MovingProbe:
        """Ask a session's node whether it may move here. Raises `Refused`, with `TAKEN` as that node says."""
        if len(sid) != self._sid_length or not sid.isascii():
            raise Refused(UNKNOWN_SID)
        if not self._takes_more() or self._asking + len(self._probes) >= self._most:
            raise Refused(BAD_REQUEST)
        self._asking += 1
        try:
            async with asyncio.timeout(ASK_S):
                link = await self._links.to(sid[: self._mark_length])
                if not link.moves_sessions:
                    raise Refused(BAD_REQUEST)
                await self._ask(link, sid)
        except (NoSuchNode, LinkLost, TimeoutError):
            raise Refused(BAD_REQUEST) from None
        finally:
            self._asking -= 1
        probe = MovingProbe(self, link, sid, address=address)
        self._probes.add(probe)
        return probe

    async def _ask(self, link: Link, sid: str) -> None:
        try:
            await call(link, Kind.MAY_MOVE, sid)
        except asyncio.CancelledError:  # by the timeout, too
            self.tell(link, Kind.STAYS, sid)  # it may have been about to say yes
            raise

    def over(self, probe: MovingProbe, outcome: str) -> None:
        """An upgrade has ended: `moved`, `stayed`, or `lost`."""
        self._probes.discard(probe)
        self.stats.sessions_moved[outcome] += 1

    def tell(self, link: Link, kind: Kind, sid: str) -> None:
        """Say something that has no answer. It is not heard where the link is lost."""
        self.run(_tell(link, kind, sid))

    def run(self, work: Any) -> None:
        """Run something until it is done, or this node stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End what is under way."""
        for probe in list(self._probes):
            probe.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def call(link: Link, kind: Kind, sid: str, body: bytes = b"") -> bytes:
    """Ask a session's node something; its answer. Raises `Refused`, `LinkLost`."""
    answer: Answer = asyncio.get_running_loop().create_future()
    number = link.begin(answer)
    try:
        await link.send(kind, number, sid, body)
        found = await answer
        return found if isinstance(found, bytes) else b""
    finally:
        link.end(number)


async def _tell(link: Link, kind: Kind, sid: str) -> None:
    with suppress(LinkLost):  # the other node notices that, too, and keeps the session
        await link.send(kind, NO_CALL, sid)


class MovingProbe:
    """Owns the websocket until the session is here (`engineio.http_edge.MovingProbe`)."""

    def __init__(self, moves: Moves, link: Link, sid: str, *, address: str) -> None:
        self.websocket: WebSocketProtocol
        self._moves = moves
        self._link = link
        self._sid = sid
        self._address = address
        self._probed = self._answered = False
        self._paused = False
        self._closed = False
        self._over = False
        self._packets: list[str | bytes] | None = None
        """What the client has sent since it has gone over; None until then."""
        self._bucket: Bucket[Any] = moves.deadlines.add(self, moves.upgrade_timeout_s)

    # -- what the websocket reports (WebSocketOwner) ------------------------------------------------

    def text_received(self, text: str) -> None:
        """`2probe`, then `5`, then what is for the session. Anything else ends the attempt."""
        if self._packets is not None:
            self._packets.append(text)
        elif text == "2probe" and not self._probed:
            self._probed = True
            self._moves.run(self._answer())
        elif text == "5" and self._probed and not self._over:
            if not self._answered:
                self._go_ahead()  # it has not waited for that
            self._bucket.discard(self)
            self._packets = []
            self.websocket.pause_reading()
            self._moves.run(self._move())
        else:
            self._stay()

    def binary_received(self, data: bytes) -> None:
        """Not before the client has gone over."""
        if self._packets is not None:
            self._packets.append(data)
        else:
            self._stay()

    def writing_paused(self) -> None:
        """Kept for the session."""
        self._paused = True

    def writing_resumed(self) -> None:
        """Kept for the session."""
        self._paused = False

    def connection_closed(self, code: int, clean: bool) -> None:
        """The client has gone, or has given up."""
        self._closed = True
        if self._packets is None:
            self._stay()

    def on_deadline(self) -> None:
        """The client did not go on in time."""
        self._stay()

    def give_up(self) -> None:
        """This node stops. A move that is under way is cancelled by whoever runs it."""
        if self._packets is None:
            self._stay()

    def discard(self) -> None:
        """The websocket handshake has failed: there is nothing to close."""
        self._closed = True
        self._stay()

    # -- the move -------------------------------------------------------------------------------------

    def _stay(self) -> None:
        """The client goes on polling."""
        if self._over:
            return
        self._over = True
        self._bucket.discard(self)
        self._moves.tell(self._link, Kind.STAYS, self._sid)
        self._moves.over(self, "stayed")
        if not self._closed:
            self.websocket.close()

    async def _answer(self) -> None:
        """Have the other node release the poll that waits, and tell the client to go ahead.

        That may take a while: the client goes on polling until it is told.
        """
        try:
            await call(self._link, Kind.PROBE, self._sid)
        except (LinkLost, Refused):
            if self._packets is None:
                self._stay()
            return
        if not self._over and not self._answered:
            self._go_ahead()

    def _go_ahead(self) -> None:
        self._answered = True
        self.websocket.write(PROBE_ANSWER)

    async def _move(self) -> None:
        outcome = "lost"
        try:
            async with asyncio.timeout(MOVE_S):
                if await self._try():
                    outcome = "moved"
        except (LinkLost, Refused, NotifyError, TimeoutError, ValueError) as error:
            if not self._closed:
                log.warning("session_not_moved", reason=_reason(error))
        finally:
            self._over = True
            self._moves.over(self, outcome)
            if outcome == "lost":
                if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    self._moves.tell(self._link, Kind.STAYS, self._sid)
                self.websocket.leave()

    async def _try(self) -> bool:
        """Raises LinkLost, Refused, ValueError, a NotifyError: the client has to come back then."""
        newcomer: Newcomer | None = None
        for _ in range(TRIES):
            try:
                description = await call(self._link, Kind.DESCRIBE, self._sid)
                newcomer = self._moves.newcomers.enter(self._sid, description, address=self._address)
                await newcomer.subscribed()
                if self._closed:
                    raise LinkLost("The client has gone")
                if newcomer.needs_cut:
                    await call(self._link, Kind.CUT, self._sid, newcomer.order)
                    await newcomer.heard()
                handed = await call(self._link, Kind.TAKE, self._sid)
            except BaseException as error:
                if newcomer is not None:
                    newcomer.abandon()
                if isinstance(error, Unavailable):
                    await asyncio.sleep(RETRY_S)
                elif not isinstance(error, Refused) or error.code == UNKNOWN_SID:
                    raise
                continue  # it has changed, or was busy
            return await self._finish(newcomer, handed)
        raise Refused(BAD_REQUEST, "The session does not come to rest")

    async def _finish(self, newcomer: Newcomer, handed: bytes) -> bool:
        try:
            await newcomer.take(handed)
            if self._closed or self._packets is None:
                return False
            newcomer.complete(self.websocket, self._packets, held=self._paused)
        finally:
            newcomer.lose()
        return True


def _reason(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.message
    if isinstance(error, NotifyError):
        return error.detail
    return str(error) or type(error).__name__
