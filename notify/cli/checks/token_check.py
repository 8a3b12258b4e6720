"""What `notify doctor` finds out about a token by the keys of these settings."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from notify.cli.checks.verdict import Verdict, fault, ok
from notify.domain.errors import NotifyError
from notify.gateway.auth.authenticator import Authenticator
from notify.settings.settings import Settings


def can_verify(settings: Settings) -> bool:
    """True when there is a key to verify tokens with."""
    return bool(settings.jwt_secret or settings.jwt_public_key or settings.jwt_jwks_url)


async def check_token(settings: Settings, token: str) -> AsyncIterator[Verdict]:
    """Whose it is and for how long, or why a node with these settings would refuse it."""
    authenticator = Authenticator(
        secret=settings.jwt_secret.reveal().encode() if settings.jwt_secret else None,
        public_key=settings.jwt_public_key,
        jwks_url=settings.jwt_jwks_url,
        algorithms=settings.jwt_algorithms,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        max_rooms=settings.max_rooms_per_socket,
    )
    await authenticator.start()
    try:
        identity = await authenticator.verify(token)
    except NotifyError as error:
        yield fault(f"The token is refused ({error.code}): {error.detail}")
        return
    finally:
        await authenticator.stop()
    yield ok(
        f"The token is valid: user {identity.user!r}, for another {_span(identity.expires_at - time.time())}."
    )


def _span(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
