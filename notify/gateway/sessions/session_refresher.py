"""Keeps the sessions of connected members alive, and ends those that are over: because there is a gap in what
they were told, or because a backend said so while this node could not hear it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member, Room
from notify.domain.errors import NotifyError
from notify.gateway.drain import close_in_batches
from notify.store.session import Session
from notify.store.sessions import Sessions, Standing

BATCH = 500
RETRY_S = 1.0
"""After a round that Redis did not answer."""
GAP_CLOSE_S = 2.0
"""How long connections with a gap may live on: soon, but not all in one moment."""

log = structlog.get_logger(__name__)


class SendAway(Protocol):
    """Disconnects a member; without `seen` nothing is written down of it."""

    def __call__(self, member: Member, *, seen: bool) -> None: ...


class SessionRefresher:
    """One task for all sessions of this node. Started and stopped by the app."""

    def __init__(
        self,
        *,
        manager: RedisManager,
        sessions: Sessions,
        session_of: Callable[[Member], Session],
        send_away: SendAway,
        leave_room: Callable[[Member, str], Awaitable[bool]],
        promise_logs: Callable[[], Awaitable[None]],
        interval_s: float,
    ) -> None:
        """`promise_logs` has the logs kept for as long as these sessions may ask for them."""
        self._manager = manager
        self._sessions = sessions
        self._session_of = session_of
        self._send_away = send_away
        self._leave_room = leave_room
        self._promise_logs = promise_logs
        self._interval_s = interval_s
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[int]] = set()

    async def start(self) -> None:
        """Start refreshing. Raises Unavailable."""
        await self._promise_logs()
        self._task = asyncio.create_task(self._run(), name="session-refresher")

    async def stop(self) -> None:
        """Stop refreshing: what is left expires by itself."""
        tasks = [*self._closing, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def resubscribed(self) -> None:
        """This node did not hear the others for a while: a round is due now."""
        self._wanted.set()

    def _members(self) -> list[Member]:
        return [
            member
            for book in list(self._manager.books.values())
            for member in list(book.members.values())
            if member.state == Member.CONNECTED
        ]

    async def _run(self) -> None:
        wait_s = self._interval_s
        while True:
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self._round()
                wait_s = self._interval_s
            except NotifyError as error:
                log.warning("sessions_not_kept", reason=error.detail)
                wait_s = min(RETRY_S, self._interval_s)

    async def _round(self) -> None:
        await self._promise_logs()
        await self._check_users()
        members = {member.pid: member for member in self._members() if member.pid is not None}
        pids = list(members)
        for begin in range(0, len(pids), BATCH):
            for pid in await self._sessions.keep(pids[begin : begin + BATCH]):
                await self._write_again(pid, members[pid])

    async def _check_users(self) -> None:
        """Carry out what was ordered about the users here and was not heard: it stands in Redis for that."""
        by_user: dict[str, list[Member]] = {}
        for member in self._members():
            if member.user is not None:
                by_user.setdefault(member.user, []).append(member)
        users = list(by_user)
        for begin in range(0, len(users), BATCH):
            batch = users[begin : begin + BATCH]
            for user, standing in zip(batch, await self._sessions.standing(batch), strict=True):
                for member in by_user[user]:
                    await self._check(member, standing)

    async def _check(self, member: Member, standing: Standing) -> None:
        if member.state != Member.CONNECTED or member.start is None:
            return
        orders = standing.orders
        revoked = member.identity.issued_at < standing.revoked_before
        if revoked or orders.end(member.start):
            log.info("sent_away_late", user=member.user)
            self._send_away(member, seen=not revoked)
        elif orders.rooms:
            session = self._session_of(member)
            for room in session.rooms:
                joined_at = session.joined_at(room)
                if joined_at is not None and orders.remove(member.namespace, room, joined_at):
                    await self._leave_room(member, room)

    async def _write_again(self, pid: str, member: Member) -> None:
        """Redis has lost a session.

        With all of its data, and then the session is owed what comes from now on. With this key alone it
        stays owed what it was: what was handed to the connection may not have arrived.
        """
        seen = self._manager.subscriber.last_seen
        if member.state != Member.CONNECTED or member.pid != pid or seen is None:
            return
        if member.start is None or member.start.epoch != seen.epoch:
            member.start, member.join_positions = seen, None
        await self._sessions.restore(pid, self._session_of(member))

    def gap(self, rooms: Sequence[Room], reason: str) -> None:
        """What the members of these rooms missed cannot be had: end their sessions and their connections.

        They come back at once and are told by `recovered === false`: never a silent gap.
        """
        sockets = {}
        for room in rooms:
            for member in room.members:
                if member.pid is not None:
                    self._sessions.close(member.pid, self._session_of(member))
                    member.pid = None
                sockets[member.socket.sid] = member.socket
        log.warning("gaps", reason=reason, rooms=len(rooms), connections=len(sockets))
        task = asyncio.ensure_future(
            close_in_batches(sockets.values(), over_s=GAP_CLOSE_S, sleep=asyncio.sleep)
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
