"""All of ingest, put together: what `app.py` mounts on the internal port, or on the shared one."""

from __future__ import annotations

from aiohttp import web

from notify.ingest.auth import Verifier
from notify.ingest.body import BodyReader
from notify.ingest.docs import DocsRoutes
from notify.ingest.edge import Edge
from notify.ingest.notifications import NotificationRoutes, Publisher
from notify.ingest.openapi import document
from notify.ingest.stats import IngestStats


def routes(
    *, publisher: Publisher, keys: Verifier, max_payload: int, stats: IngestStats, fallback: bool = False
) -> list[web.RouteDef]:
    """Every route, in an order that must be kept. No middleware, so they can stand beside anything.

    `max_payload` is NOTIFY_MAX_PAYLOAD. Paths under `/v1/` that are none are refused as problems, and with
    `fallback` every other path, too, that the application has no route for.

    Mount them in an application whose runner is made with `auto_decompress=False`: otherwise aiohttp inflates
    compressed bodies while it throws them away. No limit of aiohttp's (`client_max_size`) comes into play.
    """
    edge = Edge(keys=keys, stats=stats)
    notifications = NotificationRoutes(
        publisher=publisher, bodies=BodyReader(stats=stats), max_payload=max_payload
    )
    docs = DocsRoutes(document(max_payload=max_payload))
    found = edge.closed({**notifications.routes(edge), **docs.routes(edge)})
    found.append(edge.not_found("/v1/{path:.*}"))
    if fallback:
        found.append(edge.not_found("/{path:.*}"))
    return found
