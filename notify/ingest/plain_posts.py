"""POST /v1/notifications without aiohttp: what is plainly valid, and can be published in one piece, now.

Nearly every POST is that, and a third of what it cost was HTTP's machinery: a parser, two tasks, a request, a
router, a response. Nothing is refused here but by the store: whatever is not plain is left to the route in
`notifications.py`, before anything of it was done, so there is one place only that explains. The answers are
the same; tests/ingest/test_plain_posts.py holds the two together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import orjson
import structlog
from aiohttp.helpers import rfc822_formatted_time

from notify.domain.api_key import ApiKey
from notify.domain.errors import Invalid, NotifyError
from notify.domain.notifications.notification import Accepted, Notification
from notify.ingest import fast_path
from notify.ingest.http.body import MAX_CONTAINERS
from notify.ingest.http.plain_head import PlainHeads
from notify.ingest.http.problems import INTERNAL, render
from notify.ingest.http.request_ids import REQUEST_ID, RequestIds
from notify.ingest.notifications import PATH, copied_bytes, shown
from notify.ingest.stats import IngestStats
from notify.protocol.headers import END_OF_HEAD, SERVER

ROUTE = "publish"
"""What they are counted under: the route's own name."""

log = structlog.get_logger(__name__)

Answer = Callable[[bytes, bytes], None]


class Publisher(Protocol):
    """The part of `service.publish.Publisher` that is used here."""

    def publish_soon(
        self, notification: Notification, *, trace: str, done: Callable[[Accepted | NotifyError], None]
    ) -> bool:
        """Accept it and call `done`, or do nothing and answer False, or raise Invalid."""


class Keys(Protocol):
    """The part of `service.keys.ApiKeys` that is used here."""

    def known(self, presented: str) -> ApiKey | None:
        """The key, if it is known without asking."""


class PlainPosts:
    """A shortcut of the port (`ops.http_port.Shortcut`)."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        keys: Keys,
        stats: IngestStats,
        ids: RequestIds,
        max_payload: int,
        max_fanout_bytes: int,
    ) -> None:
        self._publisher = publisher
        self._keys = keys
        self._stats = stats
        self._ids = ids
        self._max_body = min(max_payload, MAX_CONTAINERS)
        self._max_fanout_bytes = max_fanout_bytes
        self._heads = PlainHeads(PATH)
        self.first_line = self._heads.first_line

    def take(self, data: bytes, answer: Answer) -> bool:
        """Publish what `data` asks for, and answer when Redis has it. False, and nothing is done, where
        `data` is not one whole request that is plain.
        """
        started = time.perf_counter()
        end = data.find(END_OF_HEAD)
        if end < 0:
            return False
        head = self._heads.read(data[:end])
        if head is None or head.length > self._max_body or len(data) != end + 4 + head.length:
            return False
        if not self._may_publish(head.presented):
            return False
        try:
            parsed = orjson.loads(data[end + 4 :])
        except orjson.JSONDecodeError:
            return False
        notification = fast_path.plainly(parsed)
        if notification is None or copied_bytes(notification, parsed, head.length) > self._max_fanout_bytes:
            return False
        request_id = head.request_id or self._ids.new()

        def done(result: Accepted | NotifyError) -> None:
            self._answer(result, request_id, started, answer)

        try:
            taken = self._publisher.publish_soon(notification, trace=request_id, done=done)
        except Invalid:
            return False
        if taken:
            self._stats.body_bytes += head.length
        return taken

    def lacks(self, data: bytes) -> int:
        """How many bytes of its body a plain request still lacks; 0 where the rest of it would not help."""
        end = data.find(END_OF_HEAD)
        head = self._heads.read(data[:end]) if end >= 0 else None
        if head is None or head.length > self._max_body or not self._may_publish(head.presented):
            return 0
        return max(0, end + 4 + head.length - len(data))

    def _may_publish(self, presented: str) -> bool:
        key = self._keys.known(presented)
        return key is not None and "publish" in key.scopes

    def _answer(
        self, result: Accepted | NotifyError, request_id: str, started: float, answer: Answer
    ) -> None:
        stats = self._stats
        status, reason, body = 202, "Accepted", b""
        if isinstance(result, Accepted):
            body = orjson.dumps(shown(result))
            location = "" if result.expires_ms is None else f"Location: {PATH}/{result.id}\r\n"
            lines = f"Content-Type: application/json\r\n{location}"
        else:
            if result.status == INTERNAL:
                log.error(
                    "request_failed", route=ROUTE, method="POST", request_id=request_id, exc_info=result
                )
            stats.refused[result.code] += 1
            stats.errors[result.code] += 1
            response = render(result)
            status, reason = response.status, response.reason
            body = response.body if isinstance(response.body, bytes) else b""
            lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        stats.requests[ROUTE, status] += 1
        stats.seconds[ROUTE].observe(time.perf_counter() - started)
        head = (
            f"HTTP/1.1 {status} {reason}\r\n{lines}{REQUEST_ID}: {request_id}\r\n"
            f"Content-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\nServer: {SERVER}\r\n"
        )
        answer(head.encode("latin-1"), body)
