"""Who may connect, and what they find: a CONNECT packet's way from its token to the first live message."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import structlog

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.channel import Channel, owner_of
from notify.domain.entropy import Entropy
from notify.domain.errors import Forbidden, Invalid, NotifyError, TooMany, Unavailable
from notify.domain.offset import Offset
from notify.domain.packet import Wire
from notify.domain.permissions import allows
from notify.gateway.auth import Authenticator, Identity
from notify.gateway.expiry import Expiry
from notify.gateway.gate import Gate
from notify.gateway.recovery import Recovery
from notify.gateway.socket import EngineSocket
from notify.gateway.stats import GatewayStats
from notify.store.sessions import Session, Sessions

log = structlog.get_logger(__name__)

Form = tuple[str, bool]

SID_LENGTH = 20
"""Characters, 6 bits each, as in Socket.IO's own sids."""


class Admission:
    """Lets clients into namespaces, with their session back if they had one; sees them off again.

    Order is everything here. A member enters its channels with its gate closed, and waits until the
    subscriptions stand; only then is the session opened, or the log read; then the missed events go out, then
    CONNECT, then what was live meanwhile. So there is no moment in which a message can slip through.
    """

    def __init__(
        self,
        *,
        manager: RedisManager,
        authenticator: Authenticator,
        sessions: Sessions,
        recovery: Recovery,
        node_id: str,
        namespaces: tuple[str, ...],
        stats: GatewayStats,
        max_connections_per_user: int,
        max_rooms: int,
        gate_limit: int,
        timeout_s: float,
    ) -> None:
        self.expiry: Expiry | None = None
        self._manager = manager
        self._authenticator = authenticator
        self._sessions = sessions
        self._recovery = recovery
        self._node_id = node_id
        self._namespaces = frozenset(namespaces)
        self._stats = stats
        self._max_per_user = max_connections_per_user
        self._max_rooms = max_rooms
        self._gate_limit = gate_limit
        self._timeout_s = timeout_s
        self._forms: dict[Form, Form] = {}
        self._entropy = Entropy()

    # -- coming -------------------------------------------------------------------------------------

    async def connect(self, socket: EngineSocket, namespace: str, data: object) -> None:
        """Answer a CONNECT packet. Every refusal is a CONNECT_ERROR with a code in its data.

        When Redis does not answer, the transport is ended instead: a stock client then tries again by
        itself, which after a CONNECT_ERROR it would not.
        """
        try:
            identity = await self._identify(namespace, data)
        except NotifyError as error:
            self._refuse(socket, namespace, error)
            return
        request: dict[str, Any] = data if isinstance(data, dict) else {}
        try:
            await self._admit(socket, namespace, identity, request)
        except (Unavailable, TimeoutError):
            self._drop(socket, namespace)
            self._stats.connect_errors["unavailable"] += 1
            socket.close_transport("transport error")
        except NotifyError as error:
            self._drop(socket, namespace)
            self._refuse(socket, namespace, error)
        except asyncio.CancelledError:
            self._drop(socket, namespace)
            raise

    async def _identify(self, namespace: str, data: object) -> Identity:
        owner = owner_of(namespace)
        if owner is None and namespace not in self._namespaces:
            raise _InvalidNamespace("Invalid namespace")
        identity = await self._authenticator.verify(data.get("token") if isinstance(data, dict) else None)
        if owner is not None and owner != identity.user:
            raise Forbidden("This namespace belongs to another user")
        return identity

    async def _admit(
        self, socket: EngineSocket, namespace: str, identity: Identity, request: dict[str, Any]
    ) -> None:
        pid = request.get("pid")
        recoverable = request.get("recovery") is not False
        if recoverable and isinstance(pid, str) and 0 < len(pid) <= 64:
            reason = await self._resume(socket, namespace, identity, pid, request.get("offset"))
            if reason is None:
                return
            self._stats.not_recovered[reason] += 1
        self._check_limits(namespace, identity)
        names = self._entropy.name(33)
        member = self._enter(
            socket, namespace, identity, names[:SID_LENGTH], recoverable=recoverable, rooms=identity.join
        )
        if recoverable:
            member.pid = names[SID_LENGTH:]  # 144 bits: it cannot be guessed
        start = await self._sessions.open(member.pid, self.session_of(member), issued_at=identity.issued_at)
        await self._subscribed(member)
        for room in member.rooms:
            if room.since is None:
                room.since = start
        self._let_in(member, start, recovered=False)

    async def _resume(
        self, socket: EngineSocket, namespace: str, identity: Identity, pid: str, offset: object
    ) -> str | None:
        """Give a client its session back. None when that is done, else why it is not."""
        found = await self._sessions.read(pid)
        if found is None:
            return "expired"
        session, stored = found
        if session.user != identity.user or session.namespace != namespace or session.start is None:
            return "foreign"
        rooms = {
            name: place
            for name, place in session.rooms.items()
            if name in identity.join or name in session.granted or allows(identity.rooms, name)
        }
        self._recovery.take(session)
        member = self._enter(socket, namespace, identity, session.sid, recoverable=True, rooms=tuple(rooms))
        member.pid = pid
        member.start = session.start
        member.places = {name: place for name, place in rooms.items() if place} or None
        member.granted = session.granted
        await self._subscribed(member)
        replayed = await self._recovery.replay(
            member,
            stored,
            session,
            self.session_of(member),
            offset=offset,
            issued_at=identity.issued_at,
        )
        if isinstance(replayed, str):
            if member.state == Member.GONE:
                return None  # it was sent away, or went, meanwhile: it does not begin anew either
            self._manager.expel(member)
            return replayed
        missed, floor = replayed
        if missed is not None:
            socket.send(missed)
        self._let_in(member, floor, recovered=True)
        return None

    def _check_limits(self, namespace: str, identity: Identity) -> None:
        if self._max_per_user:
            mine = self._manager.room("/", Channel("/", "user", identity.user).room)
            if mine is not None and len(mine.members) >= self._max_per_user:
                raise TooMany(f"More than {self._max_per_user} connections of one user to a node")
        if len(identity.join) > self._max_rooms:
            raise Forbidden(f"The token joins more than {self._max_rooms} rooms")

    def _enter(
        self,
        socket: EngineSocket,
        namespace: str,
        identity: Identity,
        sid: str,
        *,
        recoverable: bool,
        rooms: tuple[str, ...],
    ) -> Member:
        """Put a new member into its channels, with its gate closed."""
        member = self._manager.admit(sid, namespace, socket)
        if member is None:
            raise Invalid("This connection is in that namespace already")
        form = (namespace, recoverable)
        member.form = self._forms.setdefault(form, form) if len(self._forms) < 4096 else form
        member.gate = Gate(member, limit=self._gate_limit)
        member.user = identity.user
        member.identity = identity
        member.since = int(time.time())
        self._manager.enter(member, Channel("/" if owner_of(namespace) else namespace, "user", identity.user))
        if owner_of(namespace) is None:
            for room in rooms:
                self._manager.enter(member, Channel(namespace, "room", room))
        return member

    async def _subscribed(self, member: Member) -> None:
        waiting = [room for room in member.rooms if not room.ready]
        if waiting:
            async with asyncio.timeout(self._timeout_s):
                for room in waiting:
                    await self._manager.subscriber.ready(room)

    def _let_in(self, member: Member, floor: Offset, *, recovered: bool) -> None:
        """CONNECT, `session:ready`, and then what was live meanwhile."""
        socket = member.socket
        if member.state == Member.GONE:
            return  # it went while it was being let in
        if not recovered:
            member.start = floor
        answer = {"sid": member.sid, "pid": member.pid} if member.pid else {"sid": member.sid}
        member.state = Member.CONNECTED
        socket.send(_packet(b"0", member.namespace, answer))
        ready = {"user": member.user, "node": self._node_id, "recovered": recovered}
        socket.send(_packet(b"2", member.namespace, ["session:ready", ready]))
        self._stats.connects += 1
        if recovered:
            self._stats.recovered += 1
        gate = member.gate
        if isinstance(gate, Gate):
            gate.open(floor)
            if member.gate is gate:
                self._manager.subscriber.when_reached(floor, gate.lift)
        if self.expiry is not None:
            self.expiry.schedule(member, member.identity.expires_at)

    def _refuse(self, socket: EngineSocket, namespace: str, error: NotifyError) -> None:
        self._stats.connect_errors[error.code] += 1
        refusal: dict[str, Any] = {"message": error.detail}
        if not isinstance(error, _InvalidNamespace):
            refusal["data"] = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
        socket.send(_packet(b"4", namespace, refusal))

    def _drop(self, socket: EngineSocket, namespace: str) -> None:
        member = self._manager.member_of(socket, namespace)
        if member is not None and member.state != Member.CONNECTED:
            self._manager.expel(member)

    # -- what recovery will need ----------------------------------------------------------------------

    def session_of(self, member: Member) -> Session:
        """A member's session as it is to stand in Redis now."""
        places = member.places or {}
        return Session(
            sid=member.sid,
            user=member.user or "",
            namespace=member.namespace,
            node=self._node_id,
            socket=member.socket.sid,
            rooms={
                room.channel.name: places.get(room.channel.name, "")
                for room in member.rooms
                if room.channel.kind == "room"
            },
            granted=member.granted,
            start=member.start,
        )

    # -- going ----------------------------------------------------------------------------------------

    def lost(self, member: Member, reason: str) -> None:
        """The transport is gone; whoever comes back within the window finds everything."""
        self._forget(member)
        if member.pid is not None:
            self._sessions.leave(member.pid)
        self._sessions.seen(member.user or "", int(time.time()))

    def left(self, member: Member) -> None:
        """The client left the namespace on purpose: that is never recovered."""
        self._forget(member)
        if member.pid is not None:
            self._sessions.close(member.pid, self.session_of(member))
        self._sessions.seen(member.user or "", int(time.time()))

    def _forget(self, member: Member) -> None:
        if self.expiry is not None:
            self.expiry.discard(member)
        self._manager.expel(member)

    def send_away(self, member: Member) -> None:
        """Disconnect a member because a backend says so; its session ends too."""
        member.socket.send(_packet(b"1", member.namespace, None))
        self.left(member)

    def expiring(self, member: Member, seconds_left: int) -> None:
        """Tell a client that its token runs out, while it can still refresh it."""
        member.socket.send(
            _packet(b"2", member.namespace, ["session:expiring", {"expires_in": seconds_left}])
        )

    def expired(self, member: Member) -> None:
        """Disconnect a client whose token ran out. With a new token it gets its session back."""
        self._stats.expired_sessions += 1
        member.socket.send(_packet(b"1", member.namespace, None))
        self.lost(member, "token expired")


class _InvalidNamespace(NotifyError):
    """No such namespace; Node's server says it in these words, and without data."""

    code = "invalid_namespace"


def _packet(kind: bytes, namespace: str, data: Any) -> Wire:
    head = b"4" + kind if namespace == "/" else b"4" + kind + namespace.encode() + b","
    return Wire(head if data is None else head + orjson.dumps(data))
