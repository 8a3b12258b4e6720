"""How a request that is refused is answered: `{"code","message"}`, as Node's engine does."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from notify.gateway.http.cors import Cors

(
    UNKNOWN_TRANSPORT,
    UNKNOWN_SID,
    BAD_HANDSHAKE_METHOD,
    BAD_REQUEST,
    FORBIDDEN,
    UNSUPPORTED_PROTOCOL_VERSION,
) = range(6)
"""The codes of a refused request; those of the reference implementation, which clients may know."""
TAKEN = 100
"""A session has, or is getting, a websocket. Nodes tell each other; a second one is closed."""
_MESSAGES = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
)


class Refused(Exception):
    """A request of a session is refused: with which code, in which words, and with which status."""

    def __init__(self, code: int, message: str | None = None, *, status: int = 400) -> None:
        super().__init__(message or ("The session has a websocket" if code == TAKEN else _MESSAGES[code]))
        self.code = code
        self.status = status

    @property
    def message(self) -> str:
        """What the answer says."""
        return str(self)


def unreadable(status: int) -> web.Response:
    """The answer to what is no HTTP request, and to one whose handler failed."""
    message = _MESSAGES[BAD_REQUEST] if status < 500 else "Internal server error"
    body = orjson.dumps({"code": BAD_REQUEST, "message": message})
    return web.Response(status=status, body=body, content_type="application/json")


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
