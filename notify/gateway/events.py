"""What clients may ask: each event is answered by its ack, `{ok: true, ...}` or `{ok: false, error}`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import orjson
import structlog

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain import names
from notify.domain.channel import Channel, owner_of
from notify.domain.errors import FieldError, Forbidden, Invalid, NotifyError, TokenRevoked
from notify.domain.permissions import allows, may_send
from notify.gateway.auth.authenticator import Authenticator, Identity
from notify.gateway.inbox import InboxEvents
from notify.gateway.sessions.admission import SessionAdmission
from notify.gateway.sessions.rooms import Rooms
from notify.protocol.socketio import Unreadable
from notify.service.publish import Publisher
from notify.store.sessions import Sessions

DEFAULT_SENT_EVENT = "message"

Answer = dict[str, Any]
Handler = Callable[[Member, Mapping[str, Any]], Awaitable[Answer]]

log = structlog.get_logger(__name__)


class Events:
    """The handlers of `room:join`, `room:leave`, `send`, `session:refresh` and those of the inbox."""

    def __init__(
        self,
        *,
        manager: RedisManager,
        authenticator: Authenticator,
        admission: SessionAdmission,
        rooms: Rooms,
        sessions: Sessions,
        publisher: Publisher,
        inbox: InboxEvents,
        now: Callable[[], float],
        send_events: Collection[str] = (DEFAULT_SENT_EVENT,),
    ) -> None:
        """`now` is unix time in seconds, by Redis' clock; `send_events` are the events that clients may send.

        All others are the backend's.
        """
        self._manager = manager
        self._authenticator = authenticator
        self._admission = admission
        self._rooms = rooms
        self._sessions = sessions
        self._publisher = publisher
        self._send_events = frozenset(send_events)
        self._inbox = inbox
        self._now = now

    def attach(self, server: Any) -> None:
        """Have a `SocketServer` call the handlers, in every namespace."""
        handlers: dict[str, Handler] = {
            "room:join": self.join,
            "room:leave": self.leave,
            "send": self.send,
            "session:refresh": self.refresh,
            "inbox:list": self._inbox.list,
            "inbox:mark": self._inbox.mark,
        }
        for event, handler in handlers.items():
            server.on(event, self._answering(handler), namespace="*")
        server.on("*", _unknown, namespace="*")
        server.failed = _failed

    def _answering(self, handler: Handler) -> Callable[..., Awaitable[Answer]]:
        async def answer(namespace: str, sid: str, *arguments: Any) -> Answer:
            member = self._manager.member(sid, namespace)
            try:
                if member is None or member.state != Member.CONNECTED:
                    raise Forbidden("Not connected")
                if len(arguments) != 1 or not isinstance(arguments[0], dict):
                    raise Invalid("Exactly one argument is expected, an object")
                return {"ok": True, **await handler(member, arguments[0])}
            except NotifyError as error:
                return {"ok": False, "error": _shown(error)}

        return answer

    async def join(self, member: Member, asked: Mapping[str, Any]) -> Answer:
        """`{room}`: enter a room that the token allows."""
        room = _name(asked, "room", names.room_name_fault)
        identity: Identity = member.identity
        if room not in identity.join and not allows(identity.rooms, room):
            raise Forbidden(f"The token does not allow the room {room!r}")
        await self._rooms.join(member, room)
        return {"room": room}

    async def leave(self, member: Member, asked: Mapping[str, Any]) -> Answer:
        """`{room}`: leave a room."""
        room = _name(asked, "room", names.room_name_fault)
        return {"room": room, "left": await self._rooms.leave(member, room)}

    async def send(self, member: Member, asked: Mapping[str, Any]) -> Answer:
        """`{to: {user | room}, event?, data}`: send to another client, or to a room, over any nodes."""
        _only(asked, ("to", "event", "data"))
        to = asked.get("to")
        if not isinstance(to, dict) or len(to) != 1 or not {"user", "room"} & to.keys():
            raise _invalid("/to", "Give either `user` or `room`")
        event = asked.get("event", DEFAULT_SENT_EVENT)
        fault = names.event_name_fault(event)
        if fault:
            raise _invalid("/event", fault)
        if event not in self._send_events:
            # It would look as if it came from the backend.
            raise Forbidden(f"Clients may not send the event {event!r} here")
        if "user" in to:
            channel = Channel(_home(member), "user", _name(to, "user", names.user_id_fault, "/to"))
        else:
            channel = Channel(_home(member), "room", _name(to, "room", names.room_name_fault, "/to"))
        if not may_send(member.identity.send, channel.kind, channel.name):
            raise Forbidden(f"The token does not allow sending to {channel.kind} {channel.name!r}")
        data = asked.get("data")
        try:
            orjson.dumps(data)
        except TypeError:
            raise _invalid(
                "/data", "must be JSON in UTF-8, without binary, and nested at most 250 deep"
            ) from None
        offset = await self._publisher.send(member.user or "", channel, event, data)
        return {"offset": str(offset)}

    async def refresh(self, member: Member, asked: Mapping[str, Any]) -> Answer:
        """`{token}`: go on with a newer token of the same user. Rooms that it does not allow are left, those
        that only it joins are joined.
        """
        _only(asked, ("token",))
        identity = await self._authenticator.verify(asked.get("token"))
        if identity.user != member.user:
            raise Forbidden("The token belongs to another user")
        if await self._sessions.revoked(identity.user, issued_at=identity.issued_at):
            raise TokenRevoked("This token was revoked; ask for a new one")
        if member.state != Member.CONNECTED:
            raise Forbidden("Not connected")
        before: Identity = member.identity
        inside = [room.channel.name for room in member.rooms if room.channel.kind == "room"]
        left = [
            name
            for name in inside
            if name not in identity.join and name not in member.granted and not allows(identity.rooms, name)
        ]
        joined = []
        if owner_of(member.namespace) is None:
            joined = [name for name in identity.join if name not in before.join and name not in inside]
        self._rooms.check_room_for(member, len(joined) - len(left))
        for name in left:
            await self._rooms.leave(member, name)
        for name in joined:
            await self._rooms.join(member, name)
        member.identity = identity
        await self._rooms.save(member)
        if member.state != Member.CONNECTED:
            raise Forbidden(
                "Not connected"
            )  # the new deadline could end whatever the connection carries by then
        if self._admission.expiry is not None:
            self._admission.expiry.schedule(member, identity.expires_at)
        return {
            "expires_in": max(0, identity.expires_at - int(self._now())),
            "joined": joined,
            "left": left,
        }


def _unknown(event: object, *_: object) -> Answer:
    """The answer to an unknown event: a client that waits for one would otherwise send it again and again."""
    return {"ok": False, "error": _shown(Invalid("There is no event of that name"))}


def _failed(error: Exception) -> Answer:
    """The answer to an event whose handler failed, or that could not be read."""
    if isinstance(error, Unreadable):
        return {"ok": False, "error": _shown(Invalid(f"The event {error}"))}
    return {"ok": False, "error": _shown(NotifyError("The event could not be handled"))}


def _home(member: Member) -> str:
    """Where a member's messages go: from a user's own namespace, into the default one."""
    return "/" if owner_of(member.namespace) is not None else member.namespace


def _name(
    asked: Mapping[str, Any], field: str, fault_of: Callable[[object], str | None], inside: str = ""
) -> str:
    value = asked.get(field)
    fault = fault_of(value)
    if fault is not None or not isinstance(value, str):
        raise _invalid(f"{inside}/{field}", fault or "must be a string")
    return value


def _only(asked: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for field in asked:
        if field not in known:
            raise _invalid(f"/{field}", "is not known")


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid("The request is not valid", errors=(FieldError(pointer, detail),))


def _shown(error: NotifyError) -> Answer:
    shown: Answer = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
    if error.errors:
        shown["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in error.errors]
    return shown
