"""What is the same for every HTTP request: an id, a duration, a line in the log."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from notify.ops.metrics import Metrics

REQUEST_ID = web.RequestKey("request_id", str)
"""`request[REQUEST_ID]`: also bound to every line logged while the request is worked on."""
_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = structlog.get_logger(__name__)


def observed(metrics: Metrics) -> Middleware:
    """A middleware that takes or makes a request id, answers with it, measures and logs.

    Put it first. It logs at debug, and at warning what ended with 5xx; never a header or a body.
    """

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _GOOD_ID.fullmatch(given) else secrets.token_hex(8)
        request[REQUEST_ID] = request_id
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        status = 500
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                response = await handler(request)
                status = response.status
                response.headers["X-Request-Id"] = request_id
            except web.HTTPException as error:
                status = error.status
                error.headers["X-Request-Id"] = request_id
                raise
            finally:
                took_s = time.perf_counter() - began
                if route not in _QUIET:
                    metrics.http_requests.labels(request.method, route, str(status)).inc()
                    metrics.http_request_seconds.labels(request.method, route).observe(took_s)
                    level = "warning" if status >= 500 else "debug"
                    getattr(log, level)(
                        "http_request",
                        method=request.method,
                        route=route,
                        status=status,
                        ms=round(took_s * 1000, 1),
                    )
        return response

    return observe
