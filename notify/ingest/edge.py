"""What stands around every handler of ingest: the request's id, the caller's key, errors as problems, counts.

A wrapper for each handler and no middleware of the application: on a shared port Socket.IO's requests
must not pass through here.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from notify.domain.api_key import ApiKey, Scope
from notify.domain.errors import (
    Forbidden,
    MethodNotAllowed,
    NotifyError,
    Unauthorized,
    UnsupportedMedia,
)
from notify.ingest.auth import Verifier, authorize, challenge
from notify.ingest.problems import render
from notify.ingest.stats import IngestStats

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KeyedHandler = Callable[[web.Request, ApiKey], Awaitable[web.StreamResponse]]

REQUEST_ID = "X-Request-Id"
_GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}").fullmatch


class Edge:
    """Wraps handlers, so that each of them parses, calls one verb and renders, and nothing else."""

    def __init__(self, *, keys: Verifier, stats: IngestStats) -> None:
        self._keys = keys
        self._stats = stats
        # Unique over nodes by the random part, cheap by the counter.
        self._id_prefix = f"req-{secrets.token_hex(6)}-"
        self._ids = itertools.count(1)

    def keyed(self, name: str, scope: Scope, handler: KeyedHandler) -> Handler:
        """`handler` for callers whose API key has `scope`. `name` is what the route is counted under."""
        keys = self._keys

        async def with_key(request: web.Request) -> web.StreamResponse:
            return await handler(request, await authorize(request, keys, scope))

        return self.open(name, with_key, scope=scope)

    def open(self, name: str, handler: Handler, *, scope: Scope | None = None) -> Handler:
        """`handler` for everyone."""
        stats = self._stats

        async def wrapped(request: web.Request) -> web.StreamResponse:
            started = time.perf_counter()
            request_id = request.headers.get(REQUEST_ID)
            if request_id is None or not _GOOD_REQUEST_ID(request_id):
                request_id = f"{self._id_prefix}{next(self._ids)}"
            # aiohttp runs each request in a task of its own: what is bound here ends with it.
            structlog.contextvars.bind_contextvars(request_id=request_id)
            response: web.StreamResponse
            try:
                response = await handler(request)
            except NotifyError as error:
                response = self._refused(request, error, scope)
            except web.HTTPException as error:
                response = self._foreign(request, error)
            except Exception as error:
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError("the caller went away") from error
                log.exception("request_failed", route=name, method=request.method)
                response = self._refused(request, NotifyError("Something went wrong on our side"), scope)
            response.headers[REQUEST_ID] = request_id
            stats.requests[name, response.status] += 1
            stats.seconds[name] += time.perf_counter() - started
            return response

        return wrapped

    def not_found(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        """The handler of paths that are none."""
        return self._not_found(request)

    def method_not_allowed(self, name: str, allowed: set[str]) -> Handler:
        """A handler for the methods that a path does not know."""
        allow = ", ".join(sorted(allowed))

        async def refuse(request: web.Request) -> web.StreamResponse:
            error = MethodNotAllowed(f"{request.path} answers {allow}, not {request.method}")
            self._stats.errors[error.code] += 1
            return render(error, {"Allow": allow})

        return self.open(name, refuse)

    def _refused(self, request: web.Request, error: NotifyError, scope: str | None) -> web.Response:
        self._stats.errors[error.code] += 1
        headers: dict[str, str] = {}
        if isinstance(error, Unauthorized | Forbidden):
            presented = "Authorization" in request.headers
            headers["WWW-Authenticate"] = challenge(error, presented=presented, scope=scope)
        elif isinstance(error, UnsupportedMedia):
            headers["Accept-Encoding"] = "identity"  # RFC 9110 section 12.5.3
        return render(error, headers)
