"""`/v1/notifications`: what backends post."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.errors import BadRequest, FieldError, Invalid, NotifyError, TooLarge
from notify.domain.moments import timestamp
from notify.domain.notifications.notification import MAX_AHEAD_MS, Accepted, Notification
from notify.ingest import fast_path
from notify.ingest.http.body import BodyReader, parse
from notify.ingest.http.location import query
from notify.ingest.http.problems import CONTENT_TYPE, is_ours_to_retry, none_accepted, pointer, problem
from notify.ingest.http.route_wrapper import RouteWrapper
from notify.ingest.schemas import BATCH, MAX_AHEAD_DAYS, MAX_BATCH, NoQuery, load
from notify.ingest.stats import IngestStats
from notify.service.publish import Idempotency

PATH = "/v1/notifications"
BATCH_PATH = f"{PATH}/batch"
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""Largest body of a batch, however large its items may be."""
MAX_BATCH_TARGETS = 10_000
"""Users and rooms that the items of a batch may name in all: each is a write of its own in Redis."""
MAX_FANOUT_BYTES = 64 * 1024 * 1024
"""Bytes that one request may write to Redis, where each target has a copy of its own."""
ITEMS_PER_TURN = 100
"""Items of a batch that are judged before the loop turns for others."""

NO_QUERY = NoQuery()

_GOOD_KEY = re.compile(r"[\x21-\x7e]{1,255}").fullmatch


class Publisher(Protocol):
    """The part of `service.publish.Publisher` that is used here."""

    async def publish(
        self, notification: Notification, *, idempotency: Idempotency | None = None
    ) -> Accepted:
        """Accept it, or raise a NotifyError."""

    async def publish_batch(
        self, items: Sequence[Notification | NotifyError], *, idempotency: Idempotency | None = None
    ) -> list[Accepted | NotifyError]:
        """Accept what can be accepted; errors stand in their places."""


class NotificationRoutes:
    """The handlers, each: parse, call one verb, render."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        bodies: BodyReader,
        stats: IngestStats,
        now_ms: Callable[[], int],
        max_payload: int,
        max_fanout_bytes: int = MAX_FANOUT_BYTES,
    ) -> None:
        """`now_ms` is the time by Redis' clock."""
        self._publisher = publisher
        self._bodies = bodies
        self._stats = stats
        self._now_ms = now_ms
        self._max_payload = max_payload
        self._max_fanout_bytes = max_fanout_bytes
        self._max_batch_bytes = max(max_payload, min(MAX_BATCH * max_payload, MAX_BATCH_BYTES))

    def routes(self, edge: RouteWrapper) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        return {
            PATH: [edge.post(PATH, "publish", "publish", self.post)],
            BATCH_PATH: [edge.post(BATCH_PATH, "publish_batch", "publish", self.post_batch)],
        }

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """One notification: 202 when Redis has it."""
        try:
            return await self._post(request, key)
        except NotifyError as error:
            self._stats.refused[error.code] += 1
            raise

    async def _post(self, request: web.Request, key: ApiKey) -> web.Response:
        query(request, NO_QUERY)
        body = await self._bodies.read(request, limit=self._max_payload)
        idempotency_key = idempotency_key_of(request)
        parsed = parse(body)
        notification = fast_path.notification(parsed)
        _check_time(notification, self._now_ms())
        self._check_fanout(copied_bytes(notification, parsed, len(body)))
        idempotency = None
        if idempotency_key is not None:
            idempotency = Idempotency(
                key.id,
                idempotency_key,
                body=hashlib.sha256(body).digest(),
                meaning=hashlib.sha256(_meaning(parsed)).digest(),
            )
        accepted = await self._publisher.publish(notification, idempotency=idempotency)
        headers = {"Content-Type": "application/json"}
        if accepted.expires_ms is not None or accepted.deliver_ms is not None:
            headers["Location"] = f"{PATH}/{accepted.id}"
        if accepted.replayed:
            headers["Idempotent-Replayed"] = "true"
        return web.Response(body=orjson.dumps(shown(accepted)), status=202, headers=headers)

    async def post_batch(self, request: web.Request, key: ApiKey) -> web.Response:
        """Up to 1000 notifications: 202 when Redis has all, 207 when it has some, 422 when none was good."""
        query(request, NO_QUERY)
        with self._bodies.hold() as hold:
            body = await self._bodies.read(request, limit=self._max_batch_bytes, hold=hold)
            idempotency_key = idempotency_key_of(request)
            meaning = None if idempotency_key is None else hashlib.sha256()
            items = await self._items(load(BATCH, parse(body))["notifications"], meaning)
            _check_targets(items)
            idempotency = None
            if idempotency_key is not None and meaning is not None:
                whole = hashlib.sha256(body).digest()
                if any(isinstance(item, NotifyError) for item in items):
                    # What is refused may be too deep to be written anew.
                    idempotency = Idempotency(key.id, idempotency_key, body=whole, meaning=whole)
                else:
                    idempotency = Idempotency(key.id, idempotency_key, body=whole, meaning=meaning.digest())
            results: Sequence[Accepted | NotifyError]
            if any(isinstance(item, Notification) for item in items):
                results = await self._publisher.publish_batch(items, idempotency=idempotency)
            else:
                results = [item for item in items if isinstance(item, NotifyError)]
        self._stats.refused.update(result.code for result in results if isinstance(result, NotifyError))
        return _batch_response(results)

    async def _items(
        self, bodies: list[Any], meaning: hashlib._Hash | None
    ) -> list[Notification | NotifyError]:
        items: list[Notification | NotifyError] = []
        fanout = 0
        for index, body in enumerate(bodies):
            if index % ITEMS_PER_TURN == ITEMS_PER_TURN - 1:
                await asyncio.sleep(0)
            try:
                item, size = self._item(body, index)
                if meaning is not None:
                    meaning.update(_meaning(body) + b"\n")
                items.append(item)
                fanout += copied_bytes(item, body, size)
            except NotifyError as error:
                items.append(error)
            # Given free one by one, so that the parsed and the accepted form are not held side by side.
            bodies[index] = None
        self._check_fanout(fanout)
        return items

    def _item(self, body: Any, index: int) -> tuple[Notification, int]:
        """The notification, and its bytes."""
        path = ("notifications", index)
        notification = fast_path.notification(body, *path)
        _check_time(notification, self._now_ms(), *path)
        # Serialised anew, since where an item began and ended in the body is not known any more. After the
        # checks, because only they keep the depth to what can be serialised.
        size = len(orjson.dumps(body))
        if size > self._max_payload:
            detail = f"must be at most {self._max_payload} bytes long"
            raise TooLarge(f"The notification {detail}", errors=[FieldError(pointer(*path), detail)])
        return notification, size

    def _check_fanout(self, size: int) -> None:
        if size > self._max_fanout_bytes:
            raise TooLarge(
                f"With a copy for each of its targets this request comes to {size} bytes; the limit is "
                f"{self._max_fanout_bytes}. Use rooms, or send less to so many"
            )


def _check_time(notification: Notification, now_ms: int, *path: str | int) -> None:
    deliver_at_ms = notification.deliver_at_ms
    if deliver_at_ms is not None and deliver_at_ms > now_ms + MAX_AHEAD_MS:
        where, detail = pointer(*path, "deliver_at"), f"must be at most {MAX_AHEAD_DAYS} days ahead"
        raise Invalid(f"{where} {detail}", errors=[FieldError(where, detail)])


def copied_bytes(notification: Notification, body: Mapping[str, Any], size: int) -> int:
    """Bytes to be written: a copy for each target, without the list of them, which is in none."""
    copies = notification.target.size
    if copies > 1:
        to = body["to"]
        size -= sum(len(orjson.dumps(to[each])) for each in ("users", "rooms") if each in to)
    return copies * size


def _check_targets(items: Sequence[Notification | NotifyError]) -> None:
    if sum(item.target.size for item in items if isinstance(item, Notification)) > MAX_BATCH_TARGETS:
        detail = f"must name at most {MAX_BATCH_TARGETS} users and rooms in all"
        raise Invalid(f"The batch {detail}", errors=[FieldError(pointer("notifications"), detail)])


def _meaning(parsed: Any) -> bytes:
    """One text for all that mean the same: spaces and the order of keys mean nothing in JSON."""
    return orjson.dumps(parsed, option=orjson.OPT_SORT_KEYS)


def idempotency_key_of(request: web.Request) -> str | None:
    """The request's Idempotency-Key. Raises BadRequest."""
    sent = request.headers.getall("Idempotency-Key", None)
    if sent is None:
        return None
    if len(sent) != 1 or not _GOOD_KEY(sent[0]):
        raise BadRequest(
            "The Idempotency-Key header must be given once, with 1 to 255 visible ASCII characters"
        )
    return str(sent[0])


def shown(accepted: Accepted) -> dict[str, str | None]:
    """What became of one that was accepted, as callers see it."""
    found = {
        "id": accepted.id,
        "status": accepted.status,
        "created_at": timestamp(accepted.created_ms),
        "expires_at": None if accepted.expires_ms is None else timestamp(accepted.expires_ms),
    }
    if accepted.deliver_ms is not None:
        found["deliver_at"] = timestamp(accepted.deliver_ms)
    return found


def _batch_response(results: Sequence[Accepted | NotifyError]) -> web.Response:
    accepted = sum(isinstance(result, Accepted) for result in results)
    if not accepted:
        # Nothing was written, through no fault of the caller: the whole batch may be tried again.
        for result in results:
            if isinstance(result, NotifyError) and is_ours_to_retry(result):
                raise result
    document = {
        "accepted": accepted,
        "rejected": len(results) - accepted,
        "results": [
            {"index": index, **shown(result)}
            if isinstance(result, Accepted)
            else {"index": index, "status": "rejected", "error": problem(result)}
            for index, result in enumerate(results)
        ],
    }
    headers = {"Content-Type": "application/json"}
    if not accepted:
        document = {**problem(none_accepted(len(results))), **document}
        headers["Content-Type"] = CONTENT_TYPE
    if any(isinstance(result, Accepted) and result.replayed for result in results):
        headers["Idempotent-Replayed"] = "true"
    status = 202 if accepted == len(results) else 207 if accepted else 422
    return web.Response(body=orjson.dumps(document), status=status, headers=headers)
