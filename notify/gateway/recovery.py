"""Connection state recovery, as stock Socket.IO clients ask for it: what was missed, whole or not at all.

A client that has a `pid` sends it with its next CONNECT, and with it the offset of the last event it saw. It
gets the missed events first and the CONNECT answer, with the old sid and pid, after them: that is what sets
`socket.recovered` (socket.io-client 4.6 and later).
"""

from __future__ import annotations

import json
from collections.abc import Callable

from notify.backplane.delivery import Delivery
from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member
from notify.domain.offset import Offset
from notify.domain.packet import Wire
from notify.gateway.stats import GatewayStats
from notify.store.log import Log
from notify.store.sessions import Session, Sessions


class Recovery:
    """Reads what a returning member missed, and takes its session away from where it was."""

    def __init__(
        self,
        *,
        manager: RedisManager,
        sessions: Sessions,
        store_log: Log,
        tell_node: Callable[[str, bytes], None],
        node_id: str,
        stats: GatewayStats,
        max_messages: int,
    ) -> None:
        self._manager = manager
        self._sessions = sessions
        self._log = store_log
        self._tell_node = tell_node
        self._node_id = node_id
        self._stats = stats
        self._max_messages = max_messages

    def take(self, session: Session) -> None:
        """End the old connection of a session: its client is here now, whatever TCP still says there."""
        if session.node == self._node_id:
            self.let_go(session.socket, session.namespace)
        else:
            command = {
                "method": "notify:take",
                "socket": session.socket,
                "namespace": session.namespace,
            }
            self._tell_node(session.node, json.dumps(command).encode())

    def let_go(self, socket_sid: object, namespace: object) -> None:
        """Drop a connection whose session another one has taken over."""
        if not isinstance(socket_sid, str) or not isinstance(namespace, str):
            return
        socket = self._manager.server.eio.sockets.get(socket_sid)
        member = self._manager.member_of(socket, namespace)
        if member is not None:
            member.pid = None  # so that losing the transport touches nothing in Redis
            member.socket.close_transport("transport close")
            self._manager.expel(member)

    async def replay(
        self,
        member: Member,
        stored: bytes,
        session: Session,
        becomes: Session,
        *,
        offset: object,
        issued_at: int,
    ) -> tuple[Wire | None, Offset] | str:
        """What a member missed, and the place up to which that is everything; or why there is no replay.

        Never partial: past the window, past the count, past a trimmed log, or in another epoch there is
        nothing. Raises Unavailable.
        """
        start = session.start
        if start is None or member.pid is None:
            return "foreign"
        given = Offset.parse(offset)
        if given is not None and given.epoch != start.epoch:
            return "epoch"
        # An offset from before this session is one that the client kept from an earlier one.
        reached = given if given is not None and given.follows(start) else start
        places = [(room.channel, session.place(room.channel, reached)) for room in member.rooms]
        backlog = await self._log.replay(
            places,
            reached=reached,
            most=self._max_messages,
            claim=self._sessions.claim(member.pid, stored, becomes, issued_at=issued_at),
        )
        if backlog.verdict != "ok" or backlog.clock is None:
            return backlog.verdict
        wires = []
        last: Offset | None = None
        for missed in backlog.missed:
            delivery = Delivery(missed.message)
            if delivery.offset == last or member.user in delivery.except_users:
                continue  # the same message in two of its channels, or not for this user
            last = delivery.offset
            wires.append(delivery.wire(member.form))
        self._stats.replayed_messages += len(wires)
        return (Wire.joined(wires) if wires else None), backlog.clock
