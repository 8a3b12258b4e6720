"""Clients that come in the same turn of the loop are looked after together: in a storm there are many.

One wait for their subscriptions and one script call for their sessions cost little more than one client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from notify.backplane.membership import Member, Room
from notify.backplane.subscriber import Subscriber
from notify.domain.errors import Unavailable
from notify.store.sessions import Found, Opened, Opening, Sessions

MOST_IN_ONE = 64
"""Clients that share a call: how long one keeps Redis, and the loop, busy."""

Q = TypeVar("Q")
A = TypeVar("A")


class Batch(Generic[Q, A]):
    """Questions of one turn of the loop, answered together and in order."""

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        *,
        more_come: Callable[[], bool] = lambda: False,
    ) -> None:
        """`more_come`: others are in already and have yet to ask, so that it is worth waiting for them."""
        self._answer = answer
        self._more_come = more_come
        self._asked: list[tuple[Q, asyncio.Future[A]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Q) -> asyncio.Future[A]:
        """A future that holds the answer, or what `answer` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        asked = self._asked
        asked.append((question, future))
        if len(asked) == 1:
            loop.call_soon(self._depart, asked)
        elif len(asked) == MOST_IN_ONE:
            self._asked = []  # the first one's call takes these; whoever comes now begins another
        return future

    def _depart(self, asked: list[tuple[Q, asyncio.Future[A]]]) -> None:
        if self._asked is asked:
            if self._more_come():
                asyncio.get_running_loop().call_soon(self._depart, asked)
                return
            self._asked = []
        task = asyncio.get_running_loop().create_task(self._settle(asked))
        self._tasks.add(task)
        task.add_done_callback(partial(self._settled, asked))

    def _settled(self, asked: list[tuple[Q, asyncio.Future[A]]], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for _, future in asked:  # those that a cancelled task has left; it may not even have begun
            future.cancel()

    async def _settle(self, asked: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in asked])
        except Exception as error:  # noqa: BLE001 - those who asked raise it
            if isinstance(error, Unavailable) or len(asked) == 1:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
                return
            # What is wrong with the keys of one must not cost the others.
            for one in asked:
                await self._settle([one])
            return
        for (_, future), answer in zip(asked, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def stop(self) -> None:
        """Cancel what is under way, and whoever waits for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Arrivals:
    """What admission waits for, of all clients that come in the same turn of the loop."""

    def __init__(
        self, *, subscriber: Subscriber, sessions: Sessions, more_come: Callable[[], bool], timeout_s: float
    ) -> None:
        """`more_come`: clients are in whose CONNECT has yet to be looked at."""
        self._subscriber = subscriber
        subscriber.more_come = more_come
        self._sessions = sessions
        self._timeout_s = timeout_s
        self._reads: Batch[tuple[str, str], Found | None] = Batch(sessions.read, more_come=more_come)
        self._opens: Batch[tuple[Member, Opening], Opened] = Batch(self._open, more_come=more_come)
        self._subscriptions: Batch[Member, None] = Batch(self._subscribe, more_come=more_come)

    async def read(self, pid: str, user: str) -> Found | None:
        """The session of a client that comes back, see `Sessions.read`. Raises Unavailable."""
        return await self._reads.ask((pid, user))

    async def open(self, member: Member, opening: Opening) -> Opened:
        """Begin a member's session once its channels are subscribed to, see `Sessions.open`.

        Not before: what is published between the two would neither be heard nor be owed. Raises Unavailable.
        """
        return await self._opens.ask((member, opening))

    async def subscribed(self, member: Member) -> None:
        """Wait until a member's channels are subscribed to. Raises Unavailable."""
        if not all(room.ready for room in member.rooms):
            await self._subscriptions.ask(member)

    async def stop(self) -> None:
        """Cancel what is under way, and whoever waits for it."""
        for batch in (self._reads, self._opens, self._subscriptions):
            await batch.stop()

    async def _open(self, arrivals: Sequence[tuple[Member, Opening]]) -> list[Opened]:
        await self._subscribe([member for member, _ in arrivals])
        return await self._sessions.open([opening for _, opening in arrivals])

    async def _subscribe(self, members: Sequence[Member]) -> list[None]:
        waiting: list[Room] = [room for member in members for room in member.rooms if not room.ready]
        if waiting:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._subscriber.all_ready(waiting)
            except TimeoutError as error:
                raise Unavailable("The subscription is not confirmed") from error
        return [None] * len(members)
