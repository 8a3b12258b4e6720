"""Who is connected to this node, in which namespace, and in which rooms.

python-socketio's books walk all rooms of a namespace when one client leaves. These cost what a client itself
costs: everything is reached from its own `Member`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from socketio import packet as sio_packet

from notify.backplane.acknowledgements import NOBODYS_ACK, Acknowledgements
from notify.backplane.delivery import Delivery, EventVariant, wire_of
from notify.domain.channel import Channel
from notify.domain.offset import Offset
from notify.protocol.engineio import Wire

SMALL_ROOM = 8
"""Up to this many members stand in a tuple (48 bytes and 8 each), more in a set (216 bytes and more)."""


class Transport(Protocol):
    """The engine socket that carries a member, as the backplane sees it."""

    sid: str
    members: tuple[Member, ...]

    @property
    def closed(self) -> bool:
        """True once the connection has ended."""

    async def drained(self) -> bool:
        """Wait until the peer has taken what was sent to it. False when the connection is closed."""

    def send(self, wire: Wire) -> None:
        """Hand packets over for sending. Never blocks; the socket itself cuts a slow consumer off."""

    def close_transport(self, reason: str | None = None) -> None:
        """End the connection in the way after which a stock client comes back by itself."""

    def abort(self, reason: str) -> None:
        """Drop the connection at once. Its members leave the books in the next turn of the loop."""

    def too_slow(self) -> None:
        """The same, for one that does not take what is sent to it."""


class HoldsBack(Protocol):
    """Holds back what is live while a member is being connected, replayed to, or moved."""

    deaf: bool
    """The member's client is at another node, which is going to hand it over: nothing is for it here."""

    def offer(self, delivery: Delivery) -> None:
        """Take a live message. It decides whether and when it goes on."""

    def emit(self, wire: Wire) -> None:
        """The same, for what python-socketio emits."""


class Member:
    """One connection in one namespace: what Socket.IO calls a socket.

    What the admission of the app sets (`user`, `pid`, `start`, `replay_buffer` ...) stays empty in bare use.
    """

    __slots__ = (
        "expiry",
        "granted",
        "identity",
        "join_positions",
        "namespace",
        "pid",
        "replay_buffer",
        "rooms",
        "sid",
        "since",
        "socket",
        "start",
        "state",
        "user",
        "variant",
    )

    PENDING, CONNECTED, LEAVING, GONE = range(4)

    def __init__(self, sid: str, namespace: str, socket: Transport) -> None:
        self.sid = sid
        self.namespace = namespace
        self.socket = socket
        self.rooms: tuple[Room, ...] = ()
        self.state = Member.PENDING
        self.user: str | None = None
        self.identity: Any = None
        self.expiry: Any = None
        self.pid: str | None = None
        self.variant = EventVariant(namespace, with_offset=False)
        """What its events look like: whether they end with their offset, for clients that can recover."""
        self.replay_buffer: HoldsBack | None = None
        self.start: Offset | None = None
        """The offset from which it is owed everything."""
        self.join_positions: dict[str, str] | None = None
        """For rooms entered later, the place in the log from which it is owed them."""
        self.granted: tuple[str, ...] = ()
        """Rooms that a backend put it in, whatever its token says."""
        self.since = 0
        """When it connected, in unix seconds; 0 while unknown."""

    @property
    def deaf(self) -> bool:
        """True while its client is still at another node."""
        return self.replay_buffer is not None and self.replay_buffer.deaf


class Room:
    """The members of one channel on this node, and what its subscription needs to know.

    Members of another namespace may be among them: a user's own namespace hears the user's channel.
    """

    __slots__ = ("channel", "members", "ready", "since", "topic", "waiter")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.members: tuple[Member, ...] | set[Member] = ()
        self.topic = b""
        self.ready = False
        """The subscription is confirmed: from now on nothing of this channel passes this node by."""
        self.waiter: asyncio.Future[None] | None = None
        self.since: Offset | None = None
        """The offset from which this node must have this channel without a gap; None while unknown."""

    def add(self, member: Member) -> None:
        """Take a member in. Adding one twice changes nothing."""
        members = self.members
        if member in members:
            return
        if isinstance(members, set):
            members.add(member)
        elif len(members) < SMALL_ROOM:
            self.members = (*members, member)
        else:
            self.members = {*members, member}

    def discard(self, member: Member) -> None:
        """Let a member go."""
        members = self.members
        if isinstance(members, set):
            members.discard(member)
            if len(members) < SMALL_ROOM // 2:
                self.members = tuple(members)
        else:
            self.members = tuple(other for other in members if other is not member)


class Namespace:
    """One namespace: its members by sid, its rooms by name; `everyone` is its `all` channel."""

    __slots__ = ("everyone", "members", "rooms")

    def __init__(self, namespace: str) -> None:
        self.members: dict[str, Member] = {}
        self.rooms: dict[str, Room] = {}
        self.everyone = Room(Channel(namespace, "all"))


class Membership(Acknowledgements):
    """Mixin that takes the place of the books in `socketio.base_manager.BaseManager`.

    The public behaviour is python-socketio's: sids are rooms too, nobody else can enter a sid's room, a
    pending or leaving member is not connected. The hooks `room_opened` and `room_emptied` are called when a
    channel gets its first local member and loses its last.
    """

    server: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.books: dict[str, Namespace] = {}

    def room_opened(self, room: Room) -> None:
        """A channel has its first member on this node."""

    def room_emptied(self, room: Room) -> None:
        """A channel has lost its last member on this node."""

    # -- looking up -------------------------------------------------------------------------------

    def member(self, sid: str | None, namespace: str) -> Member | None:
        """The member with this sid, whatever its state, or None."""
        book = self.books.get(namespace)
        return book.members.get(sid) if book is not None and sid is not None else None

    def room(self, namespace: str, name: str | None) -> Room | None:
        """The local end of a channel, or None when nobody here is in it."""
        book = self.books.get(namespace)
        if book is None:
            return None
        return book.everyone if name is None else book.rooms.get(name)

    def recipients(self, namespace: str, room: Any) -> Iterable[Member]:
        """The members that an emit to `room` (a name, a sid, a list of them, or None for all) reaches here.

        The result is a snapshot: members may come and go while it is walked.
        """
        book = self.books.get(namespace)
        if book is None:
            return ()
        if room is None:
            return tuple(book.everyone.members)
        if not isinstance(room, str) and hasattr(room, "__len__"):
            found: dict[Member, None] = {}
            for name in room:
                found.update(dict.fromkeys(self.recipients(namespace, name)))
            return tuple(found)
        single = book.members.get(room)
        if single is not None:
            return (single,)
        named = book.rooms.get(room)
        return tuple(named.members) if named is not None else ()

    def get_namespaces(self) -> Iterable[str]:
        """The namespaces that someone here is connected to."""
        return tuple(self.books)

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """(sid, engine sid) of everyone here in a room."""
        for member in self.recipients(namespace, room):
            yield member.sid, member.socket.sid

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """The rooms a member is in, its own sid's among them."""
        member = self.member(sid, namespace)
        if member is None:
            return []
        return [sid, *(room.channel.room for room in member.rooms if room.channel.room is not None)]

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """The sid that an engine socket has in a namespace."""
        member = self.member_of(self.server.eio.sockets.get(eio_sid), namespace)
        return member.sid if member is not None else None

    def member_of(self, socket: Transport | None, namespace: str) -> Member | None:
        """The member that an engine socket has in a namespace."""
        if socket is not None:
            for member in socket.members:
                if member.namespace == namespace:
                    return member
        return None

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """The engine socket's sid behind a sid."""
        member = self.member(sid, namespace)
        return member.socket.sid if member is not None else None

    def is_sid_room(self, namespace: str, room: Any) -> bool:
        """True when `room` is somebody's sid."""
        return isinstance(room, str) and self.member(room, namespace) is not None

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        """True while the connect handler has not yet let this member in."""
        member = self.member(sid, namespace)
        return member is not None and member.state == Member.PENDING

    def is_connected(self, sid: str | None, namespace: str) -> bool:
        """True for a member that is in and not on its way out."""
        member = self.member(sid, namespace)
        return member is not None and member.state == Member.CONNECTED

    # -- coming and going -------------------------------------------------------------------------

    def admit(self, sid: str, namespace: str, socket: Transport) -> Member | None:
        """Enter a pending member, or return None when the socket is in that namespace already."""
        if self.member_of(socket, namespace) is not None:
            return None
        member = Member(sid, namespace, socket)
        book = self.books.get(namespace)
        if book is None:
            book = self.books[namespace] = Namespace(namespace)
        book.members[sid] = member
        socket.members = (*socket.members, member)
        self._enter(member, book.everyone)
        return member

    def rename(self, member: Member, sid: str) -> None:
        """Give a member another sid, taking it from whoever has it."""
        book = self.books[member.namespace]
        if book.members.get(member.sid) is member:
            del book.members[member.sid]
        member.sid = sid
        book.members[sid] = member

    def expel(self, member: Member) -> None:
        """Take a member out of every room and out of the books. Costs what its own rooms cost."""
        if member.state == Member.GONE:
            return
        member.state = Member.GONE
        for room in member.rooms:
            self._leave(member, room)
        member.rooms = ()
        member.socket.members = tuple(other for other in member.socket.members if other is not member)
        book = self.books.get(member.namespace)
        if book is not None:
            if book.members.get(member.sid) is member:
                del book.members[member.sid]
                self.callbacks.pop(member.sid, None)
            self._drop_if_empty(member.namespace, book)

    def enter(self, member: Member, channel: Channel) -> Room:
        """Put a member into a channel, which may be one of another namespace."""
        name = channel.room
        book = self.books.get(channel.namespace)
        if book is None:
            book = self.books[channel.namespace] = Namespace(channel.namespace)
        if name is None:
            room = book.everyone
        else:
            room = book.rooms.get(name) or book.rooms.setdefault(name, Room(channel))
        self._enter(member, room)
        return room

    def leave(self, member: Member, channel: Channel) -> bool:
        """Take a member out of a channel. False when it was not in it."""
        for room in member.rooms:
            if room.channel == channel:
                member.rooms = tuple(other for other in member.rooms if other is not room)
                self._leave(member, room)
                return True
        return False

    def _enter(self, member: Member, room: Room) -> None:
        if room in member.rooms:
            return
        first = not room.members
        room.add(member)
        member.rooms = (*member.rooms, room)
        if first:
            self.room_opened(room)

    def _leave(self, member: Member, room: Room) -> None:
        room.discard(member)
        if not room.members:
            namespace, name = room.channel.namespace, room.channel.room
            book = self.books.get(namespace)
            if book is not None:
                if name is not None and book.rooms.get(name) is room:
                    del book.rooms[name]
                self._drop_if_empty(namespace, book)
            self.room_emptied(room)

    def _drop_if_empty(self, namespace: str, book: Namespace) -> None:
        if not book.members and not book.rooms and self.books.get(namespace) is book:
            del self.books[namespace]

    # -- the interface of python-socketio's BaseManager ---------------------------------------------

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        """Enter a client as pending. None when it is connected to the namespace already."""
        socket = self.server.eio.sockets.get(eio_sid)
        if socket is None:
            return None
        member = self.admit(self.server.eio.generate_id(), namespace, socket)
        return member.sid if member is not None else None

    async def connect(self, sid: str, namespace: str) -> str | None:
        """Let a pending client in."""
        member = self.member(sid, namespace)
        if member is not None and member.state == Member.PENDING:
            member.state = Member.CONNECTED
        return sid

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        """Mark a client as leaving while its disconnect handler runs."""
        member = self.member(sid, namespace)
        if member is None:
            return None
        member.state = Member.LEAVING
        return member.socket.sid

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        """Take a client out of the books."""
        member = self.member(sid, namespace)
        if member is not None:
            self.expel(member)

    def basic_enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        """Put a client into a room. Raises ValueError when it is not connected or the room is a sid's."""
        member = self.member(sid, namespace)
        if member is None:
            raise ValueError("sid is not connected to requested namespace")
        if room == sid:
            return
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        self.enter(member, Channel.of_room(namespace, room))

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        """Take a client out of a room."""
        member = self.member(sid, namespace)
        if member is not None and room != sid and room is not None:
            self.leave(member, Channel.of_room(namespace, room))

    def basic_close_room(self, room: str, namespace: str) -> None:
        """Empty a room. Raises ValueError when it is a sid's."""
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot close a sid room")
        channel = Channel.of_room(namespace, room)
        for member in self.recipients(namespace, room):
            self.leave(member, channel)

    # -- sending ------------------------------------------------------------------------------------

    def emit_local(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., Any] | None = None,
    ) -> int:
        """Send an event to everyone here in `room`, encoded once; the number of recipients.

        With a callback each recipient gets a packet of its own, since each needs its own ack id.

        A client that can recover takes a string at the end of an event, even the event's own name, for its
        offset. An event that ends with a string but has no offset therefore asks for an acknowledgement,
        which nobody waits for: clients then do not read an offset, and handlers get what was emitted.
        """
        recipients = self.recipients(namespace, room)
        if not recipients:
            return 0
        skip = skip_sid if isinstance(skip_sid, list | tuple | set) else (skip_sid,)
        arguments = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        count = 0
        ends_with_text = isinstance(arguments[-1] if arguments else event, str)
        wires: dict[tuple[str, bool], Wire] = {}
        for member in recipients:
            if member.sid in skip or (member.state != Member.CONNECTED and room != member.sid):
                continue  # a member that is not let in yet gets only what is addressed to it alone
            buffer = member.replay_buffer
            if buffer is not None and buffer.deaf:
                continue
            if callback is not None:
                ack_id = self._generate_ack_id(member.sid, callback)  # type: ignore[attr-defined]
                wire = self._event_wire([event, *arguments], member.namespace, ack_id)
            elif member.variant in wires:
                wire = wires[member.variant]
            else:
                ack_id = NOBODYS_ACK if ends_with_text and member.variant.with_offset else None
                wire = self._event_wire([event, *arguments], member.namespace, ack_id)
                wires[member.variant] = wire
            if buffer is None:
                member.socket.send(wire)
            else:
                buffer.emit(wire)
            count += 1
        return count

    def _event_wire(self, arguments: list[Any], namespace: str, ack_id: int | None) -> Wire:
        packet = self.server.packet_class(sio_packet.EVENT, namespace=namespace, data=arguments, id=ack_id)
        return wire_of(packet.encode())
