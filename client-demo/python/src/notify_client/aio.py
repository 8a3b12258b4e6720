"""`AsyncNotify`: the client for asyncio. The same names as `Notify`, to be awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Self, TypeVar, Unpack

import httpx

from notify_client.answers import (
    Disconnected,
    InboxStatus,
    MarkAs,
    Marked,
    Membership,
    Notification,
    Outcome,
    Page,
    Presence,
    Room,
    Sent,
)
from notify_client.calls import Calls
from notify_client.endpoint import Endpoint
from notify_client.errors import NotifyError
from notify_client.exchange import Attempt, Fault, Operation, Reply
from notify_client.message import Message
from notify_client.retries import DEADLINE_S, TIMEOUT_S, Policy
from notify_client.wire import LIMITS, Incoming, fault_of, request_of

T = TypeVar("T")


class AsyncNotify:
    """A client of notify's HTTP API for asyncio. Make one for the event loop, close it at the end.

    Arguments and errors are those of `Notify`. A call may be cancelled: whether the server has it is then not
    known, and the same idempotency key makes it safe to call again.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Raises Misconfigured. Connects to nothing yet."""
        self._endpoint = Endpoint.of(url, api_key)
        self._calls = Calls(Policy(timeout_s=timeout_s, deadline_s=deadline_s))
        self._own = http is None
        self._http = http or httpx.AsyncClient(limits=LIMITS)
        self.rooms = AsyncRooms(self)
        """Who is in which room."""

    async def send(self, *, idempotency_key: str | None = None, **message: Unpack[Message]) -> Sent:
        """As `Notify.send`."""
        return await self._run(self._calls.send(message, idempotency_key))

    async def send_many(
        self, messages: Iterable[Message], *, idempotency_key: str | None = None
    ) -> list[Outcome]:
        """As `Notify.send_many`."""
        return await self._run(self._calls.send_many(messages, idempotency_key))

    async def get(self, notification_id: str) -> Notification:
        """As `Notify.get`."""
        return await self._run(self._calls.get(notification_id))

    async def retract(self, notification_id: str) -> None:
        """As `Notify.retract`."""
        await self._run(self._calls.retract(notification_id))

    def inbox(self, user: str) -> AsyncInbox:
        """The inbox of a user. Asks nothing yet, and is not awaited."""
        return AsyncInbox(self, user)

    async def presence(self, user: str) -> Presence:
        """As `Notify.presence`."""
        return await self._run(self._calls.presence(user))

    async def disconnect(self, user: str, *, revoke: bool = False) -> Disconnected:
        """As `Notify.disconnect`."""
        return await self._run(self._calls.disconnect(user, revoke))

    async def erase(self, user: str) -> None:
        """As `Notify.erase`."""
        await self._run(self._calls.erase(user))

    async def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        if self._own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoint.url!r})"

    async def _run(self, operation: Operation[T]) -> T:
        """Do what the operation decides, until it returns."""
        try:
            attempt = next(operation)
            while True:
                await asyncio.sleep(attempt.wait_s)
                attempt = operation.send(await self._attempt(attempt))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _attempt(self, attempt: Attempt) -> Reply | Fault:
        request = request_of(attempt, self._endpoint, self._http)
        incoming = Incoming(attempt, time.monotonic)
        try:
            response = await self._http.send(request, stream=True, follow_redirects=False)
            try:
                async for chunk in response.aiter_raw():
                    incoming.add(chunk)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, NotifyError) as error:
            return fault_of(error, self._endpoint)
        return incoming.reply(response)


class AsyncInbox:
    """The inbox of one user."""

    def __init__(self, client: AsyncNotify, user: str) -> None:
        self._client = client
        self._user = user

    async def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        status: InboxStatus | None = None,
        category: str | Iterable[str] | None = None,
        by: str | None = None,
    ) -> Page:
        """As `Inbox.list`."""
        calls = self._client._calls
        return await self._client._run(calls.inbox_list(self._user, limit, after, status, category, by))

    async def mark(
        self,
        mark: MarkAs,
        ids: Iterable[str] | None = None,
        *,
        up_to: str | int | None = None,
        category: str | None = None,
        until: datetime | str | None = None,
    ) -> Marked:
        """As `Inbox.mark`."""
        calls = self._client._calls
        return await self._client._run(calls.inbox_mark(self._user, mark, ids, up_to, category, until))


class AsyncRooms:
    """Who is in which room."""

    def __init__(self, client: AsyncNotify) -> None:
        self._client = client

    async def get(self, room: str, *, namespace: str | None = None) -> Room:
        """As `Rooms.get`."""
        return await self._client._run(self._client._calls.room(room, namespace))

    async def add(self, room: str, user: str, *, namespace: str | None = None) -> Membership:
        """As `Rooms.add`."""
        return await self._client._run(self._client._calls.room_member("PUT", room, user, namespace))

    async def remove(self, room: str, user: str, *, namespace: str | None = None) -> Membership:
        """As `Rooms.remove`."""
        return await self._client._run(self._client._calls.room_member("DELETE", room, user, namespace))
