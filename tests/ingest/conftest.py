"""A running ingest on a real socket: with a publisher that writes down, or with the real one on Valkey."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.errors import Invalid, NotifyError
from notify.domain.inbox import Counts, KnownRev, Mark, MarkResult, Page, Query, Snapshot
from notify.domain.notifications.notification import Accepted, Notification
from notify.domain.notifications.receipts import Receipts, RecipientPage, Standing
from notify.domain.presence import Presence, Reached
from notify.ingest.http.malformed import MalformedRequests
from notify.ingest.http.request_ids import RequestIds
from notify.ingest.notifications import MAX_FANOUT_BYTES
from notify.ingest.plain_posts import PlainPosts
from notify.ingest.routes import routes
from notify.ingest.stats import IngestStats
from notify.ops.http_port import HttpPort, HttpStats
from notify.ops.ports import open_port
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.inboxes import Inboxes
from notify.service.keys import ApiKeys
from notify.service.notifications import Notifications
from notify.service.publish import Idempotency, Publisher
from notify.service.stats import ServiceStats
from notify.store.api_keys import ApiKeyStore
from notify.store.idempotency import IdempotencyKeys
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.notifications.due import Due
from notify.store.notifications.plans import Plans
from notify.store.notifications.records import Records
from notify.store.notifications.retractions import Retractions
from tests.support.ports import free_port
from tests.support.valkey import Valkey

KEY = "a-key-of-the-tests-only"
MAX_PAYLOAD = 4096
GOOD: dict[str, Any] = {"to": {"user": "42"}, "title": "Hello"}


class NoKeys:
    """A store of API keys without any: the tests' key comes from the settings."""

    async def put(self, key: ApiKey, digest: bytes) -> None:
        raise NotImplementedError

    async def get(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        return None

    async def all(self) -> list[ApiKey]:
        return []

    async def remove(self, key_id: str) -> bool:
        return False


@dataclass
class Recorder:
    """A publisher that accepts everything, or raises what it is told to."""

    seen: list[Notification] = field(default_factory=list)
    idempotency: list[Idempotency | None] = field(default_factory=list)
    error: BaseException | None = None
    item_errors: dict[int, NotifyError] = field(default_factory=dict)
    replayed: bool = False
    traces: list[str] = field(default_factory=list)
    """Of what was published for somebody who does not await it."""

    def _accept(self, notification: Notification) -> Accepted:
        created_ms = 1_795_424_400_123
        self.seen.append(notification)
        expires_ms = created_ms + notification.ttl_s * 1000 if notification.ttl_s else None
        return Accepted(
            f"ntf_{len(self.seen)}", created_ms, expires_ms, self.replayed, notification.deliver_at_ms
        )

    async def publish(
        self, notification: Notification, *, idempotency: Idempotency | None = None
    ) -> Accepted:
        self.idempotency.append(idempotency)
        if self.error is not None:
            raise self.error
        return self._accept(notification)

    def publish_soon(
        self, notification: Notification, *, trace: str, done: Callable[[Accepted | NotifyError], None]
    ) -> bool:
        if notification.deliver_at_ms is not None or isinstance(self.error, Invalid) or self.replayed:
            return False
        if self.error is not None and not isinstance(self.error, NotifyError):
            return False
        self.traces.append(trace)
        self.idempotency.append(None)
        done(self._accept(notification) if self.error is None else self.error)
        return True

    async def publish_batch(
        self, items: Sequence[Notification | NotifyError], *, idempotency: Idempotency | None = None
    ) -> list[Accepted | NotifyError]:
        self.idempotency.append(idempotency)
        if self.error is not None:
            raise self.error
        return [
            self.item_errors.get(index) or (item if isinstance(item, NotifyError) else self._accept(item))
            for index, item in enumerate(items)
        ]


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def pointers(self) -> dict[str, str]:
        """The faults of a problem, by pointer."""
        return {fault["pointer"]: fault["detail"] for fault in self.json["errors"]}


@dataclass
class Api:
    """A running ingest, and ways to talk to it."""

    host: str
    port: int
    session: aiohttp.ClientSession
    stats: IngestStats
    publisher: Any

    async def ask(
        self, method: str, path: str, *, data: Any = None, key: str | None = KEY, headers: Any = None
    ) -> Answer:
        sent = {"Content-Type": "application/json"} if data is not None else {}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        sent.update(headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        url = f"http://{self.host}:{self.port}{path}"
        if isinstance(data, bytes) and len(data) > 1_000_000:
            data = io.BytesIO(data)  # aiohttp warns of large bytes
        skip = ["Content-Type"]
        async with self.session.request(
            method, url, data=data, headers=sent, skip_auto_headers=skip, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def post(self, body: Any, path: str = "/v1/notifications", **options: Any) -> Answer:
        """POST what is given: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) or hasattr(body, "__aiter__") else orjson.dumps(body)
        return await self.ask("POST", path, data=data, **options)

    async def batch(self, body: Any, **options: Any) -> Answer:
        return await self.post(body, "/v1/notifications/batch", **options)

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection, for requests that no client would send."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()


class Neighbours:
    """Takes the place of `service.people.Users`: remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: NotifyError | None = None
        self.found = Presence((), None)

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def presence(self, user: str) -> Presence:
        self._note("presence", user)
        return self.found

    async def disconnect(self, user: str, *, revoke: bool) -> Reached:
        self._note("disconnect", user, revoke)
        return Reached(2)

    async def erase(self, user: str) -> None:
        self._note("erase", user)

    async def room_size(self, room: str, namespace: str) -> int:
        self._note("room_size", room, namespace)
        return 3

    async def room_add(self, room: str, user: str, namespace: str) -> Reached:
        self._note("room_add", room, user, namespace)
        return Reached(4)

    async def room_remove(self, room: str, user: str, namespace: str) -> Reached:
        self._note("room_remove", room, user, namespace)
        return Reached(5, silent=("node-3",))


class Shelf:
    """Takes the place of `service.inboxes.Inboxes`: an inbox with nothing in it."""

    async def page(self, user: str, query: Query, *, if_rev: KnownRev | None = None) -> Page:
        return Page(Snapshot(1, Counts(), None))

    async def mark(self, user: str, mark: Mark) -> MarkResult:
        return MarkResult(0, mark.ids, Snapshot(1, Counts(), None))


class Ledger:
    """Takes the place of `service.notifications.Notifications`: knows every notification."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def find(self, notification_id: str) -> tuple[Standing, Receipts]:
        self.asked.append(("find", notification_id))
        return Standing(notification_id, "accepted", 1, 2, 0), Receipts()

    async def find_with_recipients(
        self, notification_id: str, *, after: str | None, limit: int
    ) -> tuple[Standing, Receipts, RecipientPage]:
        self.asked.append(("find_with_recipients", notification_id, after, limit))
        return Standing(notification_id, "accepted", 1, 2, 0), Receipts(), RecipientPage((), None)

    async def retract(self, notification_id: str) -> None:
        self.asked.append(("retract", notification_id))


@asynccontextmanager
async def running(
    publisher: Any,
    *,
    keys: Any = None,
    notifications: Any = None,
    users: Any = None,
    inboxes: Any = None,
    max_payload: int = MAX_PAYLOAD,
    also: Sequence[web.RouteDef] = (),
    short: bool = True,
    **options: Any,
) -> AsyncIterator[Api]:
    """Ingest on a port as a node opens it; plain posts do without aiohttp if `short`."""
    stats, ids = IngestStats(), RequestIds()
    keys = keys or ApiKeys(NoKeys(), configured=[f"tests:{KEY}"])
    application = web.Application()
    application.add_routes(also)
    application.add_routes(
        routes(
            publisher=publisher,
            notifications=notifications or Ledger(),
            users=users or Neighbours(),
            inboxes=inboxes or Shelf(),
            now_ms=lambda: int(time.time() * 1000),
            keys=keys,
            max_payload=max_payload,
            stats=stats,
            ids=ids,
            fallback=True,
            **options,
        )
    )
    port = HttpPort("api", answer_malformed=MalformedRequests(stats=stats, ids=ids).answer, stats=HttpStats())
    if short:
        port.shortcut = PlainPosts(
            publisher=publisher,
            keys=keys,
            stats=stats,
            ids=ids,
            max_payload=max_payload,
            max_fanout_bytes=options.get("max_fanout_bytes", MAX_FANOUT_BYTES),
        )
    number = free_port()
    async with AsyncExitStack() as stack:
        await open_port(stack, application, port, host="127.0.0.1", number=number, shutdown_s=1)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Api("127.0.0.1", number, session, stats, publisher)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def api(recorder: Recorder) -> AsyncIterator[Api]:
    """Ingest with a publisher that writes down what it is given (`recorder`)."""
    async with running(recorder) as api:
        yield api


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    redis = Redis(Connector(valkey.url), stats=RedisStats())
    await redis.start()
    try:
        yield redis
    finally:
        await redis.stop()


@pytest.fixture
async def real_api(redis: Redis) -> AsyncIterator[Api]:
    """Ingest as it is: publisher, keys and all, on Valkey."""
    names = Keys("t")
    inbox = Inbox(redis, names, max_entries=100)
    stats = ServiceStats()
    publisher = Publisher(
        log=Log(redis, names, ttl_s=60, max_messages=1000, inbox=inbox),
        plans=Plans(redis, names, Due(redis, names)),
        idempotency_keys=IdempotencyKeys(redis, names),
        stats=stats,
    )
    inboxes = Inboxes(inbox=inbox, stats=stats)
    notifications = Notifications(
        records=Records(redis, names),
        inbox=inbox,
        retractions=Retractions(redis, names, inbox),
        stats=stats,
    )
    keys = ApiKeys(ApiKeyStore(redis, names), configured=[f"tests:{KEY}"])
    async with running(
        publisher, keys=keys, notifications=notifications, inboxes=inboxes, max_payload=65536
    ) as api:
        yield api
