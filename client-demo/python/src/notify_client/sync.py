"""`Notify`: the client for code that blocks."""

from __future__ import annotations

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


class Notify:
    """A client of notify's HTTP API. Make one for the process, share it between threads, close it at the end.

    Without arguments it reads NOTIFY_URL and NOTIFY_API_KEY. `timeout_s` is for one attempt, `deadline_s` for
    a call with all of them (for `send_many`: for each batch). `http` is an httpx client of yours, for
    proxies, certificates and limits; it stays yours to close.

    Every call raises a NotifyError; see `notify_client.errors`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        deadline_s: float = DEADLINE_S,
        http: httpx.Client | None = None,
    ) -> None:
        """Raises Misconfigured. Connects to nothing yet."""
        self._endpoint = Endpoint.of(url, api_key)
        self._calls = Calls(Policy(timeout_s=timeout_s, deadline_s=deadline_s))
        self._own = http is None
        self._http = http or httpx.Client(limits=LIMITS)
        self.rooms = Rooms(self)
        """Who is in which room."""

    def send(self, *, idempotency_key: str | None = None, **message: Unpack[Message]) -> Sent:
        """Send one notification; returns when the server holds it.

        A key of your own makes it the same notification however often your code runs; without one, a key is
        made for this call, so that its retries post once.
        """
        return self._run(self._calls.send(message, idempotency_key))

    def send_many(self, messages: Iterable[Message], *, idempotency_key: str | None = None) -> list[Outcome]:
        """Send any number, in batches; one Outcome for each, in order.

        Raises only when the first batch is refused as a whole: then nothing was sent. The key covers the
        list: the same list with the same key is never sent twice.
        """
        return self._run(self._calls.send_many(messages, idempotency_key))

    def get(self, notification_id: str) -> Notification:
        """A notification, and how far it has come. Raises NotFound."""
        return self._run(self._calls.get(notification_id))

    def retract(self, notification_id: str) -> None:
        """Cancel a scheduled one, or take a sent one out of inboxes and off screens. Raises NotFound."""
        self._run(self._calls.retract(notification_id))

    def inbox(self, user: str) -> Inbox:
        """The inbox of a user. Asks nothing yet."""
        return Inbox(self, user)

    def presence(self, user: str) -> Presence:
        """Where a user is connected now."""
        return self._run(self._calls.presence(user))

    def disconnect(self, user: str, *, revoke: bool = False) -> Disconnected:
        """End all connections of a user. With `revoke`, tokens issued up to now are refused, too.

        After a retry, `disconnected` counts what the last attempt found.
        """
        return self._run(self._calls.disconnect(user, revoke))

    def erase(self, user: str) -> None:
        """Disconnect a user, and remove all that the server keeps of them."""
        self._run(self._calls.erase(user))

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoint.url!r})"

    def _run(self, operation: Operation[T]) -> T:
        """Do what the operation decides, until it returns."""
        try:
            attempt = next(operation)
            while True:
                time.sleep(attempt.wait_s)
                attempt = operation.send(self._attempt(attempt))
        except StopIteration as done:
            result: T = done.value
            return result

    def _attempt(self, attempt: Attempt) -> Reply | Fault:
        request = request_of(attempt, self._endpoint, self._http)
        incoming = Incoming(attempt, time.monotonic)
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                for chunk in response.iter_raw():
                    incoming.add(chunk)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, NotifyError) as error:
            return fault_of(error, self._endpoint)
        return incoming.reply(response)


class Inbox:
    """The inbox of one user."""

    def __init__(self, client: Notify, user: str) -> None:
        self._client = client
        self._user = user

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        status: InboxStatus | None = None,
        category: str | Iterable[str] | None = None,
        by: str | None = None,
    ) -> Page:
        """One page, newest first. `after` is the `next` of the page before; `by="category"` counts each."""
        calls = self._client._calls
        return self._client._run(calls.inbox_list(self._user, limit, after, status, category, by))

    def mark(
        self,
        mark: MarkAs,
        ids: Iterable[str] | None = None,
        *,
        up_to: str | int | None = None,
        category: str | None = None,
        until: datetime | str | None = None,
    ) -> Marked:
        """Mark some by their ids (1 to 1000), or one and all older ones with `up_to` (an id or a place).

        `until` is for `snoozed`. Marking again what is marked already changes nothing.
        """
        calls = self._client._calls
        return self._client._run(calls.inbox_mark(self._user, mark, ids, up_to, category, until))


class Rooms:
    """Who is in which room."""

    def __init__(self, client: Notify) -> None:
        self._client = client

    def get(self, room: str, *, namespace: str | None = None) -> Room:
        """How many connections are in it."""
        return self._client._run(self._client._calls.room(room, namespace))

    def add(self, room: str, user: str, *, namespace: str | None = None) -> Membership:
        """Put the connections that a user has now into a room."""
        return self._client._run(self._client._calls.room_member("PUT", room, user, namespace))

    def remove(self, room: str, user: str, *, namespace: str | None = None) -> Membership:
        """Take a user's connections out of a room."""
        return self._client._run(self._client._calls.room_member("DELETE", room, user, namespace))
