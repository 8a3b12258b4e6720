"""What every handler of ingest is wrapped in: the request's id, the caller's key, errors as problems, counts.

A wrapper for each handler and no middleware of the application: on a shared port Socket.IO's requests
must not pass through here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from notify.domain.api_key import ApiKey, Scope
from notify.domain.errors import (
    Forbidden,
    MethodNotAllowed,
    NotFound,
    NotifyError,
    Unauthorized,
    UnsupportedMedia,
)
from notify.ingest.http.auth import Verifier, authorize, challenge
from notify.ingest.http.body import expect_later
from notify.ingest.http.problems import INTERNAL, render
from notify.ingest.http.request_ids import REQUEST_ID, RequestIds
from notify.ingest.stats import IngestStats

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KeyedHandler = Callable[[web.Request, ApiKey], Awaitable[web.StreamResponse]]

good_request_id = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}").fullmatch
"""What a caller's own id of a request may look like; others are replaced."""
_NAME_IN_PATH = re.compile(r"\{(\w+)\}")


class RouteWrapper:
    """Wraps handlers, so that each of them parses, calls one verb and renders, and nothing else."""

    def __init__(self, *, keys: Verifier, stats: IngestStats, ids: RequestIds) -> None:
        self._keys = keys
        self._stats = stats
        self._ids = ids

    def post(self, path: str, name: str, scope: Scope, handler: KeyedHandler) -> web.RouteDef:
        """A route for POST with a body, for callers whose API key has `scope`."""
        return web.post(_pattern(path), self.keyed(name, scope, handler), expect_handler=expect_later)

    def bodiless(
        self, method: str, path: str, name: str, scope: Scope, handler: KeyedHandler
    ) -> web.RouteDef:
        """A route for GET (and HEAD), PUT or DELETE without a body, for callers whose API key has `scope`."""
        make = {"GET": web.get, "PUT": web.put, "DELETE": web.delete}[method]
        return make(_pattern(path), self.keyed(name, scope, handler))

    def get(self, path: str, name: str, handler: Handler) -> web.RouteDef:
        """A route for GET and HEAD that needs no key."""
        return web.get(path, self.wrapped(name, handler))

    def keyed(self, name: str, scope: Scope, handler: KeyedHandler) -> Handler:
        """`handler` for callers whose API key has `scope`. `name` is what the route is counted under."""
        keys = self._keys

        async def with_key(request: web.Request) -> web.StreamResponse:
            return await handler(request, await authorize(request, keys, scope))

        return self.wrapped(name, with_key, scope=scope)

    def wrapped(
        self, name: str, handler: Handler, *, scope: Scope | None = None, allow: str | None = None
    ) -> Handler:
        """`handler` with everything around it; it may raise any error."""
        stats = self._stats

        async def around(request: web.Request) -> web.StreamResponse:
            started = time.perf_counter()
            request_id = request.headers.get(REQUEST_ID)
            if request_id is None or not good_request_id(request_id):
                request_id = self._ids.new()
            # aiohttp runs each request in a task of its own: what is bound here ends with it.
            structlog.contextvars.bind_contextvars(request_id=request_id)
            response: web.StreamResponse
            try:
                response = await handler(request)
            except NotifyError as error:
                if error.status == INTERNAL:
                    log.exception("request_failed", route=name, method=request.method)
                response = self._refused(request, error, scope, allow)
            except Exception as error:  # whatever it is: the caller gets a problem, we the traceback
                if request.transport is None or request.transport.is_closing():
                    # The caller went away. aiohttp sees that itself, and would log an exception.
                    return web.Response(status=400)
                log.exception("request_failed", route=name, method=request.method)
                response = self._refused(request, NotifyError(type(error).__name__), scope, allow)
            response.headers[REQUEST_ID] = request_id
            stats.requests[name, response.status] += 1
            stats.seconds[name].observe(time.perf_counter() - started)
            return response

        return around

    def closed(self, routes: dict[str, list[web.RouteDef]]) -> list[web.RouteDef]:
        """The routes, and for each path a refusal of the methods it does not know."""
        found: list[web.RouteDef] = []
        for path, its in routes.items():
            found += its
            methods = {route.method for route in its}
            if "GET" in methods:
                methods.add("HEAD")
            # Right after them, so that aiohttp takes it for the same resource, and not before the rest.
            found.append(self._other_methods(path, ", ".join(sorted(methods))))
        return found

    def not_found(self, path: str) -> web.RouteDef:
        """A route that refuses every path below; `path` is a pattern of aiohttp's."""

        async def refuse(request: web.Request) -> web.StreamResponse:
            raise NotFound(f"There is nothing at {request.path[:200]}")

        return web.route("*", path, self.wrapped("not_found", refuse), expect_handler=expect_later)

    def _other_methods(self, path: str, allow: str) -> web.RouteDef:
        async def refuse(request: web.Request) -> web.StreamResponse:
            raise MethodNotAllowed(f"{path} accepts {allow}, not {request.method[:32]}")

        handler = self.wrapped("method_not_allowed", refuse, allow=allow)
        return web.route("*", _pattern(path), handler, expect_handler=expect_later)

    def _refused(
        self, request: web.Request, error: NotifyError, scope: str | None, allow: str | None
    ) -> web.Response:
        self._stats.errors[error.code] += 1
        headers: dict[str, str] = {}
        if isinstance(error, Unauthorized | Forbidden):
            presented = "Authorization" in request.headers
            headers["WWW-Authenticate"] = challenge(error, presented=presented, scope=scope)
        elif isinstance(error, UnsupportedMedia):
            headers["Accept-Encoding"] = "identity"  # RFC 9110 section 12.5.3
        elif isinstance(error, MethodNotAllowed) and allow is not None:
            headers["Allow"] = allow
        return render(error, headers)


def _pattern(path: str) -> str:
    """`{name}` in a path as a pattern of aiohttp's that takes any name: its own takes none with a brace."""
    return _NAME_IN_PATH.sub(r"{\1:[^/]+}", path)
