"""Sessions that come from another node, because their client's websocket has come to this one.

The members are entered first, and hear nothing; once their channels are subscribed to, the other node makes a
cut (`backplane.cuts`). From there on they hear everything here, while the other node lets the session go.
What that one had not sent comes with the session, and is sent first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from notify.backplane.cuts import Cuts
from notify.backplane.delivery import Delivery
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.errors import Invalid, Unavailable
from notify.gateway.engineio.server import Engine
from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from notify.gateway.sessions.admission import SessionAdmission
from notify.gateway.sessions.arrivals import Arrivals
from notify.gateway.sessions.inbox_watch import InboxWatch, has_inbox
from notify.gateway.sessions.moved import Description, HandedOver, MovedMember, Order
from notify.gateway.socketio.client import ClientSocket
from notify.gateway.socketio.server import SocketServer
from notify.protocol.engineio import Wire
from notify.store.sessions import Sessions

HEAR_S = 1.0
"""How much later than at the other node the cut may be heard here."""


class _Deaf:
    """Hears nothing for a member whose client is still at another node."""

    deaf = True
    __slots__ = ()

    def offer(self, delivery: Delivery) -> None:
        """Not for this node."""

    def emit(self, wire: Wire) -> None:
        """Not for this node."""


_DEAF = _Deaf()


class MovingIn:
    """Makes members of what other nodes hand over."""

    def __init__(
        self,
        *,
        server: SocketServer,
        manager: RedisManager,
        admission: SessionAdmission,
        arrivals: Arrivals,
        sessions: Sessions,
        inbox_watch: InboxWatch,
        cuts: Cuts,
        node_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self.server = server
        self.manager = manager
        self.admission = admission
        self.arrivals = arrivals
        self.sessions = sessions
        self.inbox_watch = inbox_watch
        self.cuts = cuts
        self.node_id = node_id
        self.now_ms = now_ms
        self.under_way: dict[str, Newcomer] = {}
        """By the session's id."""

    def enter(self, sid: str, description: bytes, *, address: str) -> Newcomer:
        """Begin to take a session that another node has described.

        Raises ValueError, or a NotifyError when it cannot be taken here.
        """
        if sid in self.under_way or sid in self.server.eio.sockets:
            raise Invalid("The session is coming here already")
        newcomer = Newcomer(self, sid, Description.decode(description), address=address)
        try:
            newcomer.enter()
        except BaseException:
            newcomer.abandon()
            raise
        return newcomer

    async def arrived(self, member: Member) -> None:
        """Wait until a member is here, if it is just coming."""
        newcomer = self.under_way.get(member.socket.sid)
        if newcomer is not None:
            await asyncio.shield(newcomer.done)


class Newcomer:
    """One session on its way here. It ends with `complete`, `abandon` or `lose`, whichever comes first."""

    def __init__(self, into: MovingIn, sid: str, description: Description, *, address: str) -> None:
        engine: Engine = into.server.eio
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._into = into
        self._description = description
        self._socket = ClientSocket(engine, sid, polling=None, address=address)
        self._members: list[tuple[MovedMember, Member]] = []
        self._token = secrets.token_hex(16)
        self._cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handed = HandedOver((), ())
        self._claimed: set[str] = set()
        into.under_way[sid] = self

    def enter(self) -> None:
        """Put the members into their channels. Raises a NotifyError when there is no room for them."""
        manager, admission = self._into.manager, self._into.admission
        for described in self._description.members:
            if manager.member(described.sid, described.namespace) is not None:
                raise Invalid("A member of that id is here already")
            admission.check_limits(described.namespace, described.identity)
            member = manager.admit(described.sid, described.namespace, self._socket)
            if member is None:
                raise Invalid("The session is twice in one namespace")
            member.replay_buffer = _DEAF
            member.variant = admission.variant(described.namespace, recoverable=described.with_offset)
            member.user = described.identity.user
            member.identity = described.identity
            member.pid = described.pid
            member.start = described.start
            member.join_positions = described.join_positions
            member.granted = described.granted
            member.since = described.since
            self._members.append((described, member))
            for channel in described.channels:
                manager.enter(member, channel)

    async def subscribed(self) -> None:
        """Wait until nothing can pass this node by, then expect the cut. Raises Unavailable."""
        for _, member in self._members:
            await self._into.arrivals.subscribed(member)
        self._into.cuts.expect(self._token, self._hear)

    @property
    def needs_cut(self) -> bool:
        """False for a client that is in no namespace, and is sent nothing."""
        return bool(self._members)

    async def heard(self) -> None:
        """Wait until the cut has been heard here. Raises Unavailable: then it may have passed unheard."""
        try:
            async with asyncio.timeout(HEAR_S):
                await self._cut
        except TimeoutError as error:
            raise Unavailable("This node does not hear the other") from error

    @property
    def order(self) -> bytes:
        """What the other node is to be told, once the members are subscribed."""
        return Order(self._into.node_id(), self._token, self._description.digest).encode()

    def _hear(self) -> None:
        """The cut: what comes from here on is this node's to deliver."""
        for _, member in self._members:
            if member.state == Member.PENDING:
                member.state = Member.CONNECTED
                member.replay_buffer = None
                self._into.manager.begin_moved_acks(member.sid)
        if not self._cut.done():
            self._cut.set_result(None)

    async def take(self, handed: bytes) -> None:
        """The other node has let the session go. It is claimed in Redis, for this node.

        Raises ValueError, or Unavailable when the session cannot be had.
        """
        self._handed = HandedOver.decode(handed)
        former = self._description.node
        for described, member in self._members:
            if described.pid is None:
                continue
            here = member.state == Member.CONNECTED
            session = self._into.admission.session_of(member)
            if not await self._into.sessions.move(described.pid, session, former_node=former, over=not here):
                raise Unavailable("The client has reconnected on another connection")
            self._claimed.add(described.pid)

    def complete(self, websocket: WebSocketProtocol, packets: Sequence[str | bytes], *, held: bool) -> None:
        """The session is here: send what has been waiting, then take what the client has sent meanwhile.

        `held`: the websocket's buffer is full. Raises Unavailable when the session has ended on its way.
        """
        socket, into = self._socket, self._into
        gap = any(
            member.state == Member.CONNECTED and member.pid != described.pid
            for described, member in self._members
        )
        if gap or socket.reason is not None:
            raise Unavailable("The session has ended on its way")
        members = [member for _, member in self._members if member.state == Member.CONNECTED]
        socket.let_in = bool(self._members)
        acks: dict[str, list[Any]] = {}
        for namespace, ack in self._handed.acks:
            acks.setdefault(namespace, []).append(ack)
        for member in members:
            into.manager.take_acks(member.sid, acks.get(member.namespace, []))
        into.server.eio.adopt(socket, websocket, self._handed.wires, beat=self._handed.beat, held=held)
        into.server.forget(socket)  # one that is in no namespace has to connect to one
        for member in members:
            if into.admission.expiry is not None:
                warned = member.namespace in self._handed.warned
                into.admission.expiry.schedule(member, member.identity.expires_at, warned=warned)
            if has_inbox(member) and member.user is not None:
                into.inbox_watch.expect(member.user, into.now_ms())
        self._end()
        for packet in packets:
            if socket.reason is None:
                if isinstance(packet, str):
                    socket.text_received(packet)
                else:
                    socket.binary_received(packet)
        if socket.backlog is None:
            websocket.resume_reading()

    def abandon(self) -> None:
        """The session stays where it is, or nobody knows: leave no trace of it here."""
        if not self.done.done():
            for _, member in self._members:
                self._into.manager.expel(member)
            self._gone()

    def lose(self) -> None:
        """The session was handed over, and its connection is lost: the client can come back to it."""
        if not self.done.done():
            for _, member in self._members:
                if member.pid not in self._claimed:
                    member.pid = None  # it may be another connection's by now
                if member.state == Member.CONNECTED:
                    self._into.admission.transport_lost(member, "transport close")
                else:
                    self._into.manager.expel(member)
            self._gone()

    def _gone(self) -> None:
        self._into.server.eio.connected_in_time(self._socket)
        self._socket.depart()
        self._end()

    def _end(self) -> None:
        self._into.cuts.forget(self._token)
        self._into.under_way.pop(self._socket.sid, None)
        if not self.done.done():
            self.done.set_result(None)
