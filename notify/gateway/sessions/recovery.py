"""Connection state recovery, as stock Socket.IO clients ask for it: what was missed, whole or not at all.

A client that has a `pid` sends it with its next CONNECT, and with it the offset of the last event it saw. It
gets the missed events first and the CONNECT answer, with the old sid and pid, after them: that is what sets
`socket.recovered` (socket.io-client 4.6 and later).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from notify.backplane.delivery import Delivery
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.backplane.node_messages import NodeMessage, Release
from notify.domain.inbox import Snapshot
from notify.domain.offset import Offset
from notify.gateway.sessions.inbox_watch import has_inbox
from notify.gateway.socketio.server import SocketServer
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import Wire, event_head
from notify.store.inbox import Inbox
from notify.store.log import Log
from notify.store.session import Session
from notify.store.sessions import Found, Sessions


@dataclass(frozen=True, slots=True)
class Replay:
    """What a member missed, None when that is nothing, and the place up to which it is everything.

    What was retracted, collapsed, deleted or has expired meanwhile is left out. Where there is an inbox the
    end of it is one `inbox:changed` as `reset`.
    """

    missed: Wire | None
    floor: Offset
    inbox: Snapshot | None
    """How the user's inbox stands, at the floor or after; None in namespaces without one."""


class Recovery:
    """Reads what a returning member missed, and takes its session away from where it was."""

    def __init__(
        self,
        *,
        manager: RedisManager,
        sessions: Sessions,
        store_log: Log,
        inbox: Inbox,
        tell_node: Callable[[str, NodeMessage], None],
        node_id: Callable[[], str],
        stats: GatewayStats,
        max_messages: int,
    ) -> None:
        self._manager = manager
        self._sessions = sessions
        self._log = store_log
        self._inbox = inbox
        self._tell_node = tell_node
        self._node_id = node_id
        self._stats = stats
        self._max_messages = max_messages

    def take_over(self, session: Session) -> None:
        """End the old connection of a session: its client is here now, even if TCP there has not noticed."""
        if session.node == self._node_id():
            self.release(session.socket, session.namespace)
        else:
            self._tell_node(session.node, Release(session.socket, session.namespace))

    def release(self, socket_sid: str, namespace: str) -> None:
        """Drop a connection whose session another one has taken over."""
        socket = self._manager.server.eio.sockets.get(socket_sid)
        member = self._manager.member_of(socket, namespace)
        if member is not None:
            member.pid = None  # so that losing the transport touches nothing in Redis
            member.socket.close_transport(SocketServer.reason.TRANSPORT_CLOSE)
            self._manager.expel(member)

    async def position(self) -> str:
        """The place from which a room that is joined now is owed. Raises Unavailable."""
        clock = await self._log.clock()
        return clock.entry if clock is not None else ""

    async def replay(
        self, member: Member, found: Found, becomes: Session, *, given: Offset | None, issued_at: int
    ) -> Replay | str:
        """Claim a session for a member, and read what it missed; or say why there is no replay.

        `given` is the offset of the last event that the client saw. A replay is never partial: past the
        window, past the count, past a trimmed log, or in another epoch there is none. Raises Unavailable.
        """
        start = becomes.start
        if start is None or member.pid is None:
            return "foreign"
        if given is not None and given.epoch != start.epoch:
            return "epoch"
        # An offset from before this session is one that the client kept from an earlier one.
        reached = given if given is not None and given.follows(start) else start
        answer = await self._log.replay(
            [(room.channel, becomes.place(room.channel, reached)) for room in member.rooms],
            reached=reached,
            most=self._max_messages,
            claim=self._sessions.claim(member.pid, found, becomes, issued_at=issued_at),
        )
        if answer.verdict != "ok" or answer.clock is None:
            return answer.verdict
        owed: list[Delivery] = []
        for missed in answer.missed:
            delivery = Delivery(missed.message)
            if (owed and delivery.offset == owed[-1].offset) or member.user in delivery.except_users:
                continue  # the same message in two of its channels, or not for this user
            owed.append(delivery)
        at: Snapshot | None = None
        sent = [(one.notification_id, one.place) for one in owed if one.notification_id is not None]
        if sent or has_inbox(member):
            at, gone = await self._inbox.look(member.user or "", sent)
            owed = [one for one in owed if one.notification_id not in gone]
        wires = [one.wire(member.variant) for one in owed]
        self._stats.replayed_messages += len(wires)
        if at is not None and has_inbox(member):
            wires.append(_reset(member, at, answer.clock))
        else:
            at = None
        return Replay(Wire.joined(wires) if wires else None, answer.clock, at)


def _reset(member: Member, at: Snapshot, offset: Offset) -> Wire:
    """The event that gives the state of the inbox after the replay: its changes are in no log."""
    counts = {"unseen": at.counts.unseen, "unread": at.counts.unread, "total": at.counts.total}
    changed = ["inbox:changed", {"as": "reset", "rev": at.rev, "counts": counts}, str(offset)]
    return Wire(event_head(member.namespace) + orjson.dumps(changed))
