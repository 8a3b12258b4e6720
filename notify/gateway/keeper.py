"""Keeps the sessions of connected members alive, and ends those that have a hole in what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from notify.backplane.manager import RedisManager
from notify.backplane.membership import Member, Room
from notify.domain.errors import NotifyError
from notify.gateway.drain import close_in_batches
from notify.store.sessions import Session, Sessions

BATCH = 500
HOLE_CLOSE_S = 2.0
"""How long the connections of a hole may live on: soon, but not all in one moment."""

log = structlog.get_logger(__name__)


class SessionKeeper:
    """One task for all sessions of this node. Started and stopped by the app."""

    def __init__(
        self,
        *,
        manager: RedisManager,
        sessions: Sessions,
        session_of: Callable[[Member], Session],
        interval_s: float,
    ) -> None:
        self._manager = manager
        self._sessions = sessions
        self._session_of = session_of
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[int]] = set()

    def start(self) -> None:
        """Begin to keep."""
        self._task = asyncio.create_task(self._run(), name="session-keeper")

    async def stop(self) -> None:
        """Keep nothing any more: what is left runs out by itself."""
        tasks = [*self._closing, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _members(self) -> list[Member]:
        return [
            member
            for book in list(self._manager.books.values())
            for member in list(book.members.values())
            if member.pid is not None and member.state == Member.CONNECTED
        ]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._round()
            except NotifyError as error:
                log.warning("sessions_not_kept", reason=error.detail)

    async def _round(self) -> None:
        members = {member.pid: member for member in self._members() if member.pid is not None}
        pids = list(members)
        for begin in range(0, len(pids), BATCH):
            for pid in await self._sessions.keep(pids[begin : begin + BATCH]):
                await self._write_again(pid, members[pid])

    async def _write_again(self, pid: str, member: Member) -> None:
        """Redis has lost a session (its data, or this one key): from now on it is owed what comes."""
        seen = self._manager.subscriber.last_seen
        if member.state != Member.CONNECTED or member.pid != pid or seen is None:
            return
        member.start, member.places = seen, None
        await self._sessions.restore(pid, self._session_of(member))

    def hole(self, rooms: Sequence[Room], reason: str) -> None:
        """What the members of these rooms missed cannot be had: end their sessions and their connections.

        They come back at once and are told by `recovered === false`: never a silent hole.
        """
        sockets = {}
        for room in rooms:
            for member in room.members:
                if member.pid is not None:
                    self._sessions.close(member.pid, self._session_of(member))
                    member.pid = None
                sockets[member.socket.sid] = member.socket
        log.warning("holes", reason=reason, rooms=len(rooms), connections=len(sockets))
        task = asyncio.ensure_future(
            close_in_batches(sockets.values(), over_s=HOLE_CLOSE_S, sleep=asyncio.sleep)
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
