"""Which origins may connect, and what their browsers are told: the meaning is python-engineio's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from aiohttp import web

from notify.gateway.http.environ import environ_of
from notify.gateway.http.origins import Origin, OriginPolicy
from notify.gateway.http.proxies import TrustedProxies

AllowedOrigins = str | Sequence[str] | Callable[..., bool] | None
"""None: the same origin; `*`: all; one origin or several; a function of (origin, environ) or (origin); `[]`:
no checks and no headers."""
TELL_EVERY_S = 60.0
MOST_TOLD = 64
"""Refused origins that are remembered, and logged, within that time."""

log = structlog.get_logger(__name__)


class Cors:
    """Checks the Origin header, for websockets too: there a browser sends it and checks nothing itself."""

    def __init__(
        self,
        allowed: AllowedOrigins,
        *,
        credentials: bool,
        proxies: TrustedProxies,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for what is not an origin."""
        self._allowed = allowed
        self._credentials = credentials
        self._proxies = proxies
        self._disabled = isinstance(allowed, Sequence) and not isinstance(allowed, str) and not allowed
        self._all = allowed == "*" or (
            isinstance(allowed, Sequence) and not isinstance(allowed, str) and "*" in allowed
        )
        self._clock = clock
        self._told: dict[str, float] = {}
        self._policy = OriginPolicy()
        if isinstance(allowed, Sequence):
            self._policy = OriginPolicy([allowed] if isinstance(allowed, str) else allowed)

    def allows(self, request: web.BaseRequest) -> bool:
        """False for a request from the page of another origin. One without an Origin is no browser's."""
        if self._disabled or self._all:
            return True
        origin = request.headers.get("Origin")
        if not origin:
            return True
        allowed = self._allowed
        visitor = self._proxies.visitor(request)
        if callable(allowed):
            return _asks(allowed, origin, environ_of(request, visitor))
        # The host that the proxy was asked for, and the one that we were: both mean this server.
        if self._policy.allowed(origin, visitor.host, visitor.scheme) or self._policy.allowed(
            origin, request.headers.get("Host"), request.url.scheme
        ):
            return True
        self._tell(origin)
        return False

    def _tell(self, origin: str) -> None:
        """Log a refused origin, each once a minute, and so many of them at most."""
        now = self._clock()
        if now - self._told.get(origin, -math.inf) < TELL_EVERY_S:
            return
        if len(self._told) >= MOST_TOLD:
            self._told = {each: at for each, at in self._told.items() if now - at < TELL_EVERY_S}
            if len(self._told) >= MOST_TOLD:
                return
        self._told[origin] = now
        try:
            Origin.parse(origin)
        except ValueError:
            advice = "This is not an origin that could be allowed."
        else:
            advice = f"If pages from there should connect, add it to NOTIFY_CORS_ORIGINS: {origin}"
        log.warning("origin_refused", origin=origin[:256], advice=advice[:512])

    def allows_plainly(self, origin: str, host: str) -> bool:
        """True for an origin that is allowed whatever else the request says; False: ask `allows`."""
        if self._disabled or self._all:
            return True
        return not callable(self._allowed) and self._policy.allowed(origin, host, "http")

    def headers(self, request: web.BaseRequest, *, allowed: bool = True) -> dict[str, str]:
        """What the answer to this request says about origins."""
        if self._disabled:
            return {}
        headers = {}
        origin = request.headers.get("Origin")
        if origin and allowed:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Vary"] = "Origin"
        if request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = "OPTIONS, GET, POST"
        asked = request.headers.get("Access-Control-Request-Headers")
        if asked:
            headers["Access-Control-Allow-Headers"] = asked
        if self._credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        return headers


def _asks(allowed: Callable[..., bool], origin: str, environ: dict[str, Any]) -> bool:
    try:
        return bool(allowed(origin, environ))
    except TypeError:
        return bool(allowed(origin))
