"""All of ingest, put together: what `app.py` mounts on the internal port, or on the shared one."""

from __future__ import annotations

from aiohttp import web

from notify.ingest.auth import Verifier
from notify.ingest.body import MAX_IN_MEMORY, READ_TIMEOUT_S, BodyReader
from notify.ingest.docs import DocsRoutes
from notify.ingest.edge import Edge
from notify.ingest.notifications import NotificationRoutes, Publisher
from notify.ingest.openapi import document
from notify.ingest.people import People, PeopleRoutes
from notify.ingest.stats import IngestStats


def routes(
    *,
    publisher: Publisher,
    people: People,
    keys: Verifier,
    max_payload: int,
    stats: IngestStats,
    fallback: bool = False,
    body_memory: int = MAX_IN_MEMORY,
    body_timeout_s: float = READ_TIMEOUT_S,
) -> list[web.RouteDef]:
    """Every route, in an order that must be kept. No middleware, so they can stand beside anything.

    `max_payload` is NOTIFY_MAX_PAYLOAD. Paths under `/v1/` that are none are refused as problems, and with
    `fallback` every other path, too, that the application has no route for. `body_memory` bounds the bytes of
    large bodies (batches) held at once, and `body_timeout_s` how long any body may take to arrive.

    Mount them in an application whose runner is made with `auto_decompress=False`: otherwise aiohttp inflates
    compressed bodies while it throws them away. No limit of aiohttp's (`client_max_size`) comes into play.
    """
    edge = Edge(keys=keys, stats=stats)
    bodies = BodyReader(stats=stats, max_in_memory=body_memory, timeout_s=body_timeout_s)
    notifications = NotificationRoutes(publisher=publisher, bodies=bodies, max_payload=max_payload)
    people_routes = PeopleRoutes(people=people, bodies=bodies)
    docs = DocsRoutes(document(max_payload=max_payload))
    found = edge.closed({**notifications.routes(edge), **people_routes.routes(edge), **docs.routes(edge)})
    found.append(edge.not_found("/v1/{path:.*}"))
    if fallback:
        found.append(edge.not_found("/{path:.*}"))
    return found
