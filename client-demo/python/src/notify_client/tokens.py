"""Tokens for clients: what a browser or phone shows to connect.

Needs PyJWT: `pip install "notify-socketio-client[tokens]"`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal

from notify_client.errors import Misconfigured

try:
    import jwt
except ImportError as error:
    raise ImportError(
        "notify_client.tokens needs PyJWT: pip install 'notify-socketio-client[tokens]'", name="jwt"
    ) from error

SHORTEST_SECRET_BYTES = 32


def sign(
    secret: str,
    user: str,
    *,
    join: Iterable[str] = (),
    rooms: Iterable[str] = (),
    send: Iterable[str] = (),
    expires_in: timedelta = timedelta(hours=1),
    issuer: str | None = None,
    audience: str | None = None,
    algorithm: Literal["HS256", "RS256", "ES256"] = "HS256",
    key_id: str | None = None,
) -> str:
    """A token for the user, to be given to their browser and to nobody else.

    `join` are rooms they are put into at once, `rooms` patterns of rooms that they may join (`project:*`),
    `send` patterns of whom they may send to (`user:*`, `room:team:*`). `secret` is the servers'
    NOTIFY_JWT_SECRET; with RS256 or ES256 it is the PEM of the private key. Raises Misconfigured.
    """
    if not user:
        raise Misconfigured("A token needs a user")
    if algorithm == "HS256" and len(secret.encode()) < SHORTEST_SECRET_BYTES:
        raise Misconfigured(f"The secret (NOTIFY_JWT_SECRET) must have {SHORTEST_SECRET_BYTES} bytes or more")
    now = int(time.time())
    claims: dict[str, Any] = {"sub": user, "iat": now, "exp": now + int(expires_in.total_seconds())}
    claims |= {name: value for name, value in (("iss", issuer), ("aud", audience)) if value is not None}
    for name, values in (("join", join), ("rooms", rooms), ("send", send)):
        if isinstance(values, str):
            raise Misconfigured(f"{name} must be a list, not a string: [{values!r}]")
        if found := list(values):
            claims[name] = found
    try:
        return jwt.encode(claims, secret, algorithm, headers={"kid": key_id} if key_id else None)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise Misconfigured(f"The key does not sign {algorithm}: {type(error).__name__}") from error
