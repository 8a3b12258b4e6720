"""How a request that is not taken is answered: `{"code","message"}`, as Node's engine does."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from notify.gateway.cors import Cors

(
    UNKNOWN_TRANSPORT,
    UNKNOWN_SID,
    BAD_HANDSHAKE_METHOD,
    BAD_REQUEST,
    FORBIDDEN,
    UNSUPPORTED_PROTOCOL_VERSION,
) = range(6)
"""The codes of a refused request; those of the reference implementation, which clients may know."""
_MESSAGES = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
)


def refuse(
    cors: Cors,
    request: web.Request,
    code: int,
    message: str | None = None,
    *,
    status: int = 400,
    headers: Mapping[str, str] | None = None,
    allowed: bool = True,
) -> web.Response:
    """The answer. `allowed` is False for an origin that must not read it."""
    body = orjson.dumps({"code": code, "message": message or _MESSAGES[code]})
    all_headers = {**cors.headers(request, allowed=allowed), **(headers or {})}
    return web.Response(status=status, body=body, content_type="application/json", headers=all_headers)
