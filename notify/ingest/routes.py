"""All of ingest, put together: what `app.py` mounts on the internal port, or on the shared one."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from notify.ingest.asyncapi.document import document as asyncapi
from notify.ingest.docs import DocsRoutes
from notify.ingest.http.auth import Verifier
from notify.ingest.http.body import MAX_IN_MEMORY, READ_TIMEOUT_S, BodyReader
from notify.ingest.http.request_ids import RequestIds
from notify.ingest.http.route_wrapper import RouteWrapper
from notify.ingest.inbox import Inboxes, InboxRoutes
from notify.ingest.notifications import MAX_FANOUT_BYTES, NotificationRoutes, Publisher
from notify.ingest.openapi.document import document as openapi
from notify.ingest.receipts import Notifications, ReceiptRoutes
from notify.ingest.stats import IngestStats
from notify.ingest.users import UserRoutes, Users


def routes(
    *,
    publisher: Publisher,
    notifications: Notifications,
    users: Users,
    inboxes: Inboxes,
    now_ms: Callable[[], int],
    keys: Verifier,
    max_payload: int,
    max_fanout_bytes: int = MAX_FANOUT_BYTES,
    stats: IngestStats,
    ids: RequestIds | None = None,
    fallback: bool = False,
    body_memory: int = MAX_IN_MEMORY,
    body_timeout_s: float = READ_TIMEOUT_S,
) -> list[web.RouteDef]:
    """Every route, in an order that must be kept. No middleware, so they can stand beside anything.

    `now_ms` is the time by Redis' clock, `max_payload` is NOTIFY_MAX_PAYLOAD, `max_fanout_bytes`
    NOTIFY_MAX_FANOUT_BYTES. Paths under `/v1/` that are none are refused as problems, and with `fallback`
    every other path, too, that the application has no route for. `body_memory` bounds the bytes of large
    bodies (batches) held at once, and `body_timeout_s` how long any body may take to arrive.

    Mount them in an application whose runner is made with `auto_decompress=False`: otherwise aiohttp inflates
    compressed bodies while it throws them away. No limit of aiohttp's (`client_max_size`) comes into play.
    """
    wrapper = RouteWrapper(keys=keys, stats=stats, ids=ids or RequestIds())
    bodies = BodyReader(stats=stats, max_in_memory=body_memory, timeout_s=body_timeout_s)
    notification_routes = NotificationRoutes(
        publisher=publisher,
        bodies=bodies,
        stats=stats,
        now_ms=now_ms,
        max_payload=max_payload,
        max_fanout_bytes=max_fanout_bytes,
    )
    receipt_routes = ReceiptRoutes(notifications=notifications)
    user_routes = UserRoutes(users=users, bodies=bodies)
    inbox_routes = InboxRoutes(inboxes=inboxes, bodies=bodies, now_ms=now_ms)
    docs = DocsRoutes({"/openapi.json": openapi(max_payload=max_payload), "/asyncapi.json": asyncapi()})
    found = wrapper.closed(
        {
            **notification_routes.routes(wrapper),
            **receipt_routes.routes(wrapper),
            **user_routes.routes(wrapper),
            **inbox_routes.routes(wrapper),
            **docs.routes(wrapper),
        }
    )
    found.append(wrapper.not_found("/v1/{path:.*}"))
    if fallback:
        found.append(wrapper.not_found("/{path:.*}"))
    return found
