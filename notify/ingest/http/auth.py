"""`Authorization: Bearer <API key>` (RFC 6750)."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from notify.domain.api_key import ApiKey, Scope
from notify.domain.errors import Forbidden, Unauthorized

CHALLENGE = 'Bearer realm="notify"'


class Verifier(Protocol):
    """The part of `service.keys.ApiKeys` that is used here."""

    async def verify(self, presented: str) -> ApiKey:
        """The key, or Unauthorized."""


async def authorize(request: web.Request, keys: Verifier, scope: Scope) -> ApiKey:
    """The caller's key. Raises Unauthorized, Forbidden when it lacks the scope, Unavailable."""
    header = request.headers.get("Authorization")
    if header is None:
        raise Unauthorized("An API key is needed: send Authorization: Bearer <key>")
    scheme, _, presented = header.partition(" ")
    presented = presented.strip()
    if scheme.lower() != "bearer" or not presented:
        raise Unauthorized("The API key must be sent as Authorization: Bearer <key>")
    key = await keys.verify(presented)
    if scope not in key.scopes:
        raise Forbidden(f"The API key {key.name} does not have the scope {scope!r}")
    return key


def challenge(error: Unauthorized | Forbidden, *, presented: bool, scope: str | None) -> str:
    """The `WWW-Authenticate` value for this refusal (RFC 6750 section 3)."""
    if isinstance(error, Forbidden):
        return f'{CHALLENGE}, error="insufficient_scope"' + (f', scope="{scope}"' if scope else "")
    return f'{CHALLENGE}, error="invalid_token"' if presented else CHALLENGE
