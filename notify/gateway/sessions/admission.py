"""Who may connect, and what they find: a CONNECT packet's way from its token to the first live message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson
import structlog

from notify.backplane.delivery import EventVariant
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.channel import USER_ROOM_PREFIX, Channel, owner_of
from notify.domain.entropy import Entropy
from notify.domain.errors import Forbidden, Invalid, NotifyError, TokenRevoked, TooMany
from notify.domain.inbox import Snapshot
from notify.domain.offset import Offset
from notify.gateway.auth.authenticator import Authenticator, Identity
from notify.gateway.sessions.arrivals import Arrivals
from notify.gateway.sessions.expiry import Expiry
from notify.gateway.sessions.inbox_watch import InboxWatch, has_inbox
from notify.gateway.sessions.pacing import Pacing
from notify.gateway.sessions.recovery import Recovery
from notify.gateway.sessions.replay_buffer import ReplayBuffer
from notify.gateway.sessions.returning import RoomsOnReturn, rooms_on_return
from notify.gateway.socketio.client import ClientSocket
from notify.gateway.socketio.server import SocketServer
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import Wire
from notify.service.inboxes import shown_badge
from notify.store.inbox import Inbox
from notify.store.session import Session
from notify.store.sessions import Opening, Sessions

log = structlog.get_logger(__name__)

MOST_CLAIMS = 3
"""Times that a session is claimed: it may be changed, or claimed by another connection, just before."""
SID_LENGTH = 20
"""Characters, 6 bits each, as in Socket.IO's own sids."""


class SessionAdmission:
    """Lets clients into namespaces, with their session back if they had one; sees them off again.

    Order is everything here. A member enters its channels with its replay buffer closed, and waits until the
    subscriptions stand; only then is the session opened, or the log read; then the missed events go out, then
    CONNECT, then what was live meanwhile. So there is no moment in which a message can slip through.
    """

    needs_environ = False

    def __init__(
        self,
        *,
        manager: RedisManager,
        authenticator: Authenticator,
        sessions: Sessions,
        arrivals: Arrivals,
        pacing: Pacing,
        recovery: Recovery,
        inbox: Inbox,
        inbox_watch: InboxWatch,
        node_id: Callable[[], str],
        namespaces: tuple[str, ...],
        stats: GatewayStats,
        max_connections_per_user: int,
        max_rooms: int,
        buffer_limit: int,
        now: Callable[[], float],
    ) -> None:
        """`now` is unix time in seconds, by Redis' clock."""
        self.expiry: Expiry | None = None
        self._manager = manager
        self._authenticator = authenticator
        self._sessions = sessions
        self._arrivals = arrivals
        self._pacing = pacing
        self._recovery = recovery
        self._inbox = inbox
        self._inbox_watch = inbox_watch
        self._node_id = node_id
        self._namespaces = frozenset(namespaces)
        self._stats = stats
        self._max_per_user = max_connections_per_user
        self._max_rooms = max_rooms
        self._buffer_limit = buffer_limit
        self._now = now
        self._variants: dict[tuple[str, bool], EventVariant] = {}
        self._entropy = Entropy()

    # -- coming -------------------------------------------------------------------------------------

    def serves(self, namespace: str) -> bool:
        """True for all: which namespaces exist depends on who asks."""
        return True

    async def connect(self, socket: ClientSocket, namespace: str, data: object) -> None:
        """Answer a CONNECT packet.

        A refusal for good is a CONNECT_ERROR with a code in its data. For one that may be over soon (see
        `NotifyError.retryable`) the transport is ended instead: a stock client then tries again by itself,
        which after a CONNECT_ERROR it would not.
        """
        try:
            identity = await self._identify(namespace, data)
            request: dict[str, Any] = data if isinstance(data, dict) else {}
            await self._pacing.turn()
            try:
                if not socket.closed:  # it may have given up while it waited
                    await self._admit(socket, namespace, identity, request)
            finally:
                self._pacing.done()
        except NotifyError as error:
            self._turn_away(socket, namespace, error)
        except asyncio.CancelledError:
            self._drop(socket, namespace)
            raise

    async def _identify(self, namespace: str, data: object) -> Identity:
        owner = owner_of(namespace)
        if owner is None and namespace not in self._namespaces:
            raise _InvalidNamespace("Invalid namespace")
        identity = await self._authenticator.verify(data.get("token") if isinstance(data, dict) else None)
        # Clients cut a namespace off at `#` and `?`, and a comma ends it: such ids come percent-encoded.
        if owner is not None and identity.user not in (owner, unquote(owner)):
            raise Forbidden("This namespace belongs to another user")
        return identity

    async def _admit(
        self, socket: ClientSocket, namespace: str, identity: Identity, request: dict[str, Any]
    ) -> None:
        pid = request.get("pid")
        recovery = request.get("recovery")
        recoverable = recovery is not False and recovery != "false"  # Java's `auth` has strings only
        if recoverable and isinstance(pid, str) and 0 < len(pid) <= 64:
            reason = await self._resume(socket, namespace, identity, pid, request.get("offset"))
            if reason is None:
                return
            self._stats.not_recovered[reason] += 1
        self.check_limits(namespace, identity)
        names = self._entropy.name(33)
        member = self._enter(
            socket, namespace, identity, names[:SID_LENGTH], recoverable=recoverable, rooms=identity.join
        )
        if recoverable:
            member.pid = names[SID_LENGTH:]  # 144 bits: it cannot be guessed
        opened, entered = self.session_of(member), member.rooms
        start, at = await self._arrivals.open(
            member, Opening(member.pid, opened, identity.issued_at, has_inbox(member))
        )
        if start is None:
            raise TokenRevoked("This token was revoked; ask for a new one")
        if at is not None and at.due_ms is not None and at.due_ms <= self._now() * 1000:
            at = await self._inbox.snapshot(identity.user)
        for room in member.rooms:
            if room.since is None:
                room.since = start
        self._let_in(member, start, recovered=False, inbox=at)
        if member.rooms is not entered and member.pid is not None and member.state == Member.CONNECTED:
            session = self.session_of(member)
            if session.rooms != opened.rooms:  # it was taken out of one while it was being let in
                await self._sessions.save(member.pid, session)

    async def _resume(
        self, socket: ClientSocket, namespace: str, identity: Identity, pid: str, offset: object
    ) -> str | None:
        """Give a client its session back. None when that is done, else why it is not."""
        given = Offset.parse(offset)
        if given is None and offset is not None and offset != "":
            return "offset"  # its place is unknown, so no replay would be certain to be complete
        reason = "changed"
        for _ in range(MOST_CLAIMS):
            found = await self._arrivals.read(pid, identity.user)
            if found is None:
                return "expired"
            session = found.session
            if session.user != identity.user or session.namespace != namespace or session.start is None:
                return "foreign"
            if found.orders.end(session.start):
                self._sessions.close(pid, session)
                return "sent_away"
            rooms = rooms_on_return(found, identity)
            if len(rooms.kept) + len(rooms.joined) > self._max_rooms:
                return "rooms"
            position = await self._recovery.position() if rooms.joined else ""
            self.check_limits(namespace, identity, leaving=session.socket)
            # The sid is for the one who gets the session: until then the member has one of its own.
            member = self._enter(
                socket,
                namespace,
                identity,
                self._entropy.name(SID_LENGTH),
                recoverable=True,
                rooms=(*rooms.kept, *rooms.joined),
            )
            member.pid = pid
            member.start = session.start
            places = {**rooms.kept, **dict.fromkeys(rooms.joined, position)}
            member.join_positions = {name: place for name, place in places.items() if place} or None
            member.granted = tuple(name for name in session.granted if name in rooms.kept)
            await self._arrivals.subscribed(member)
            replayed = await self._recovery.replay(
                member,
                found,
                replace(self.session_of(member), sid=session.sid),
                given=given,
                issued_at=identity.issued_at,
            )
            if member.state == Member.GONE:
                return None  # it was disconnected, or left, meanwhile: it gets no new session either
            if not isinstance(replayed, str):
                # Only now: a client that cannot have the session must not end the connection that has it.
                self._recovery.take_over(session)
                self._manager.rename(member, session.sid)
                if replayed.missed is not None:
                    socket.send(replayed.missed)
                self._let_in(member, replayed.floor, recovered=True, inbox=replayed.inbox, rooms=rooms)
                return None
            self._manager.expel(member)
            reason = replayed
            if reason != "changed":
                break
        return reason

    def check_limits(self, namespace: str, identity: Identity, *, leaving: str = "") -> None:
        """Raises TooMany, Forbidden. Who is being let in counts; connections that have ended do not, nor does
        the one that is about to be left.
        """
        if self._max_per_user:
            home = namespace if owner_of(namespace) is None else "/"
            room = self._manager.room(home, USER_ROOM_PREFIX + identity.user)
            if room is not None and self._max_per_user <= sum(
                member.namespace == namespace and not member.socket.closed and member.socket.sid != leaving
                for member in room.members
            ):
                raise TooMany(
                    f"A user may have at most {self._max_per_user} connections to a namespace on one node"
                )
        if len(identity.join) > self._max_rooms:
            raise Forbidden(f"The token joins more than {self._max_rooms} rooms")

    def _enter(
        self,
        socket: ClientSocket,
        namespace: str,
        identity: Identity,
        sid: str,
        *,
        recoverable: bool,
        rooms: tuple[str, ...],
    ) -> Member:
        """Put a new member into its channels, with its replay buffer closed."""
        member = self._manager.admit(sid, namespace, socket)
        if member is None:
            raise Invalid("This connection is already in that namespace")
        member.variant = self.variant(namespace, recoverable=recoverable)
        member.replay_buffer = ReplayBuffer(member, limit=self._buffer_limit)
        member.user = identity.user
        member.identity = identity
        member.since = int(self._now())
        self._manager.enter(member, Channel("/" if owner_of(namespace) else namespace, "user", identity.user))
        if owner_of(namespace) is None:
            for room in rooms:
                self._manager.enter(member, Channel(namespace, "room", room))
        return member

    def variant(self, namespace: str, *, recoverable: bool) -> EventVariant:
        """Members share one: it is what an encoded message is kept under."""
        variant = self._variants.get((namespace, recoverable))
        if variant is None:
            variant = EventVariant(namespace, with_offset=recoverable)
            if len(self._variants) < 4096:
                self._variants[namespace, recoverable] = variant
        return variant

    def _let_in(
        self,
        member: Member,
        floor: Offset,
        *,
        recovered: bool,
        inbox: Snapshot | None,
        rooms: RoomsOnReturn | None = None,
    ) -> None:
        """CONNECT, `session:ready`, and then what was live meanwhile."""
        socket = member.socket
        if member.state == Member.GONE:
            return  # it went while it was being let in
        if not recovered:
            member.start = floor
        answer = {"sid": member.sid, "pid": member.pid} if member.pid else {"sid": member.sid}
        member.state = Member.CONNECTED
        socket.send(_packet(b"0", member.namespace, answer))
        ready: dict[str, Any] = {"user": member.user, "node": self._node_id(), "recovered": recovered}
        if rooms is not None and (rooms.joined or rooms.left):
            ready |= {"joined": rooms.joined, "left": rooms.left}
        if inbox is not None:
            ready["inbox"] = shown_badge(inbox)
            self._inbox_watch.learn(member.user or "", inbox)
        socket.send(_packet(b"2", member.namespace, ["session:ready", ready]))
        self._stats.connects += 1
        if recovered:
            self._stats.recovered += 1
        buffer = member.replay_buffer
        if isinstance(buffer, ReplayBuffer):
            buffer.open(floor)
            if member.replay_buffer is buffer:
                self._manager.subscriber.when_reached(floor, buffer.lift)
        if self.expiry is not None:
            self.expiry.schedule(member, member.identity.expires_at)

    def _turn_away(self, socket: ClientSocket, namespace: str, error: NotifyError) -> None:
        self._drop(socket, namespace)
        self._stats.connect_errors[error.code] += 1
        # Other namespaces on the same transport must not suffer from a limit that this one has hit.
        if error.retryable and not (isinstance(error, TooMany) and socket.members):
            socket.close_transport(SocketServer.reason.TRANSPORT_ERROR)
            return
        refusal: dict[str, Any] = {"message": error.detail}
        if not isinstance(error, _InvalidNamespace):
            refusal["data"] = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
        socket.send(_packet(b"4", namespace, refusal))

    def _drop(self, socket: ClientSocket, namespace: str) -> None:
        member = self._manager.member_of(socket, namespace)
        if member is not None and member.state != Member.CONNECTED:
            self._manager.expel(member)

    # -- what recovery will need ----------------------------------------------------------------------

    def session_of(self, member: Member) -> Session:
        """A member's session as it is to stand in Redis now."""
        places = member.join_positions or {}
        rooms = {
            room.channel.name: places.get(room.channel.name, "")
            for room in member.rooms
            if room.channel.kind == "room"
        }
        joined_by_token = member.identity.join if owner_of(member.namespace) is None else ()
        return Session(
            sid=member.sid,
            user=member.user or "",
            namespace=member.namespace,
            node=self._node_id(),
            socket=member.socket.sid,
            rooms=rooms,
            granted=member.granted,
            declined=tuple(name for name in joined_by_token if name not in rooms),
            start=member.start,
        )

    # -- going ----------------------------------------------------------------------------------------

    def transport_lost(self, member: Member, reason: str) -> None:
        """The transport is gone; a client that comes back within the window gets everything it missed."""
        self._forget(member)
        if member.pid is not None:
            self._sessions.leave(member.pid)
        self._sessions.seen(member.user or "", int(self._now()))

    def client_left(self, member: Member, *, seen: bool = True) -> None:
        """The client left the namespace on purpose: that is never recovered."""
        self._forget(member)
        if member.pid is not None:
            self._sessions.close(member.pid, self.session_of(member))
        if seen:
            self._sessions.seen(member.user or "", int(self._now()))

    def _forget(self, member: Member) -> None:
        if self.expiry is not None:
            self.expiry.discard(member)
        self._manager.expel(member)
        self._manager.server.forget(member.socket)

    async def sent_away(self, member: Member) -> None:
        """The same, by `SocketServer.disconnect`."""
        self.client_left(member)

    def send_away(self, member: Member, *, seen: bool = True) -> None:
        """Disconnect a member because a backend says so; its session ends too. Without `seen` nothing is
        written down of it: the user may have been erased.
        """
        member.socket.send(_packet(b"1", member.namespace, None))
        self.client_left(member, seen=seen)

    def expiring(self, member: Member, seconds_left: int) -> None:
        """Tell a client that its token runs out, while it can still refresh it."""
        member.socket.send(
            _packet(b"2", member.namespace, ["session:expiring", {"expires_in": seconds_left}])
        )

    def expired(self, member: Member) -> None:
        """End the transport of a client whose token ran out: it comes back by itself, with the fresh token
        that its `auth` callback gives, and recovers. One that brings the old token is refused then.
        """
        self._stats.expired_sessions += 1
        member.socket.close_transport("token expired")


class _InvalidNamespace(NotifyError):
    """No such namespace; Node's server says it in these words, and without data."""

    code = "invalid_namespace"


def _packet(kind: bytes, namespace: str, data: Any) -> Wire:
    head = b"4" + kind if namespace == "/" else b"4" + kind + namespace.encode() + b","
    return Wire(head if data is None else head + orjson.dumps(data))
