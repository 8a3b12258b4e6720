"""`/v1/notifications`: what backends post."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.errors import BadRequest, FieldError, Invalid, NotifyError, TooLarge
from notify.domain.notification import Accepted, Notification
from notify.ingest import plain
from notify.ingest.body import BodyReader, parse
from notify.ingest.edge import Edge
from notify.ingest.problems import is_ours_to_retry, pointer, problem
from notify.ingest.schemas import BATCH, MAX_BATCH, load
from notify.service.publish import Idempotency, timestamp

PATH = "/v1/notifications"
BATCH_PATH = f"{PATH}/batch"
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""A batch's body, whatever its items may add up to."""
MAX_BATCH_TARGETS = 10_000
"""Users and rooms that the items of a batch may name in all: each is a write of its own in Redis."""
ITEMS_PER_TURN = 100
"""Items of a batch that are judged before the loop turns for others."""

_GOOD_KEY = re.compile(r"[\x21-\x7e]{1,255}").fullmatch


class Publisher(Protocol):
    """What is asked of `service.publish.Publisher`."""

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

    def __init__(self, *, publisher: Publisher, bodies: BodyReader, max_payload: int) -> None:
        self._publisher = publisher
        self._bodies = bodies
        self._max_payload = max_payload
        self._max_batch_bytes = max(max_payload, min(MAX_BATCH * max_payload, MAX_BATCH_BYTES))

    def routes(self, edge: Edge) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        return {
            PATH: [edge.post(PATH, "publish", "publish", self.post)],
            BATCH_PATH: [edge.post(BATCH_PATH, "publish_batch", "publish", self.post_batch)],
        }

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """One notification: 202 when Redis has it."""
        body = await self._bodies.read(request, limit=self._max_payload)
        idempotency = idempotency_of(request, key, body)
        notification = plain.notification(parse(body))
        accepted = await self._publisher.publish(notification, idempotency=idempotency)
        headers = {"Content-Type": "application/json", "Location": f"{PATH}/{accepted.id}"}
        if accepted.replayed:
            headers["Idempotent-Replayed"] = "true"
        return web.Response(body=rendered(accepted), status=202, headers=headers)

    async def post_batch(self, request: web.Request, key: ApiKey) -> web.Response:
        """Up to 1000 notifications: 202 when Redis has all, 207 when it has some, 422 when none was good."""
        with self._bodies.hold() as hold:
            body = await self._bodies.read(request, limit=self._max_batch_bytes, hold=hold)
            idempotency = idempotency_of(request, key, body)
            items = await self._items(load(BATCH, parse(body))["notifications"])
            _check_targets(items)
            results: Sequence[Accepted | NotifyError]
            if any(isinstance(item, Notification) for item in items):
                results = await self._publisher.publish_batch(items, idempotency=idempotency)
            else:
                results = [item for item in items if isinstance(item, NotifyError)]
        return _batch_response(results)

    async def _items(self, bodies: list[Any]) -> list[Notification | NotifyError]:
        items: list[Notification | NotifyError] = []
        for index, body in enumerate(bodies):
            if index % ITEMS_PER_TURN == ITEMS_PER_TURN - 1:
                await asyncio.sleep(0)
            try:
                items.append(self._item(body, index))
            except NotifyError as error:
                items.append(error)
            # Given free one by one, so that the parsed and the accepted form are not held side by side.
            bodies[index] = None
        return items

    def _item(self, body: Any, index: int) -> Notification:
        path = ("notifications", index)
        notification = plain.notification(body, *path)
        # Serialised anew, since where an item began and ended in the body is not known any more. After the
        # checks, because only they keep the depth to what can be serialised.
        if len(orjson.dumps(body)) > self._max_payload:
            detail = f"must be at most {self._max_payload} bytes long"
            raise TooLarge(f"The notification {detail}", errors=[FieldError(pointer(*path), detail)])
        return notification


def _check_targets(items: Sequence[Notification | NotifyError]) -> None:
    targets = [item.target for item in items if isinstance(item, Notification)]
    if sum(len(target.users) + len(target.rooms) + target.all for target in targets) > MAX_BATCH_TARGETS:
        detail = f"must name at most {MAX_BATCH_TARGETS} users and rooms in all"
        raise Invalid(f"The batch {detail}", errors=[FieldError(pointer("notifications"), detail)])


def idempotency_of(request: web.Request, key: ApiKey, body: bytes) -> Idempotency | None:
    """The request's Idempotency-Key with what it was sent for. Raises BadRequest."""
    sent = request.headers.getall("Idempotency-Key", None)
    if sent is None:
        return None
    if len(sent) != 1 or not _GOOD_KEY(sent[0]):
        raise BadRequest(
            "The Idempotency-Key header must be given once, as 1 to 255 visible ASCII characters"
        )
    return Idempotency(scope=key.id, key=sent[0], fingerprint=hashlib.sha256(body).digest())


def rendered(accepted: Accepted) -> bytes:
    """What a POST is answered."""
    return orjson.dumps(
        {
            "id": accepted.id,
            "status": "accepted",
            "created_at": timestamp(accepted.created_at),
            "expires_at": None if accepted.expires_at is None else timestamp(accepted.expires_at),
        }
    )


def _batch_response(results: Sequence[Accepted | NotifyError]) -> web.Response:
    accepted = sum(isinstance(result, Accepted) for result in results)
    if not accepted:
        # Nothing was written, for a reason that is not the caller's: the whole may be tried again.
        for result in results:
            if isinstance(result, NotifyError) and is_ours_to_retry(result):
                raise result
    document = {
        "accepted": accepted,
        "rejected": len(results) - accepted,
        "results": [
            {"index": index, "status": "accepted", "id": result.id}
            if isinstance(result, Accepted)
            else {"index": index, "status": "rejected", "error": problem(result)}
            for index, result in enumerate(results)
        ],
    }
    headers = {"Content-Type": "application/json"}
    if any(isinstance(result, Accepted) and result.replayed for result in results):
        headers["Idempotent-Replayed"] = "true"
    status = 202 if accepted == len(results) else 207 if accepted else 422
    return web.Response(body=orjson.dumps(document), status=status, headers=headers)
