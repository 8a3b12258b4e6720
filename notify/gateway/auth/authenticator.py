"""Who a client is: the token it connects with, verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from notify.domain.errors import TokenExpired, TokenInvalid, TokenMissing
from notify.domain.names import room_name_fault, room_pattern_fault, send_pattern_fault, user_id_fault
from notify.gateway.auth import jws, signing_keys
from notify.gateway.auth.jwks import PublishedKeys, new_session

LEEWAY_S: Final = 10.0
"""By how much an issuer's clock may be ahead of Redis'."""
MOST_PATTERNS: Final = 100
LATEST_TIME: Final = 253_402_300_799
"""The end of the year 9999: a later time must have been written in milliseconds, and would never come."""
_MOST_SHARED: Final = 1024

Fault = Callable[[object], str | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified token says. Times are unix seconds; without an `iat` the token counts as issued at 0.

    `join` are the rooms to join at once, `rooms` the patterns of rooms that may be joined, `send` the
    patterns of whom may be sent to (`user:*`, `room:team:*`): see `permissions.may_send`.
    """

    user: str
    expires_at: int
    issued_at: int
    join: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    send: tuple[str, ...] = ()


class Authenticator:
    """Verifies tokens with one source of keys: a secret, PEM public keys, or a JWK set at a URL.

    `algorithms` names those accepted, of HS256 (with a secret) and RS256, ES256 (with public keys); empty
    means all that fit. `leeway_s` forgives issuers whose clock is ahead of `clock`, which is Redis' in a node
    (`nbf`, `iat`); at `exp` a token is over, because a connection made in a leeway would be closed at once.
    Raises ValueError when these do not fit together. `start` and `stop` matter with a JWK set only.
    """

    def __init__(
        self,
        *,
        secret: bytes | None = None,
        public_key: str | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str] = (),
        issuer: str | None = None,
        audience: str | None = None,
        leeway_s: float = LEEWAY_S,
        max_rooms: int = 128,
        http: Callable[[], aiohttp.ClientSession] = new_session,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if sum(source is not None for source in (secret, public_key, jwks_url)) != 1:
            raise ValueError("give one of: a secret, public keys, the URL of a JWK set")
        fitting = ("HS256",) if secret is not None else signing_keys.PUBLIC_ALGORITHMS
        if not set(algorithms) <= set(fitting):
            raise ValueError(f"with this kind of key only {' and '.join(fitting)} can be verified")
        self._algorithms = tuple(algorithms) or fitting
        self._keys: signing_keys.KeySet | None = None
        self._published: PublishedKeys | None = None
        if secret is not None:
            self._keys = signing_keys.from_secret(secret)
        elif public_key is not None:
            self._keys = signing_keys.from_pem(public_key, self._algorithms)
        elif jwks_url is not None:
            self._published = PublishedKeys(jwks_url, algorithms=self._algorithms, http=http, clock=monotonic)
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._max_rooms = max_rooms
        self._clock = clock
        self._shared: dict[tuple[Fault, tuple[str, ...]], tuple[str, ...]] = {}

    @property
    def keys_known(self) -> bool:
        """False until the issuer's keys have been fetched once: until then nobody can connect."""
        return self._published is None or self._published.known

    def missing_keys(self) -> str | None:
        """A sentence about it while they are not known, else None."""
        if self.keys_known:
            return None
        return "The issuer's keys have not been fetched yet (NOTIFY_JWT_JWKS_URL): no client can connect."

    async def start(self) -> None:
        """Fetch published keys, so that no client has to wait. An endpoint that is down is no error."""
        if self._published is not None:
            await self._published.start()

    async def stop(self) -> None:
        """End a fetch that is under way."""
        if self._published is not None:
            await self._published.stop()

    async def verify(self, token: object) -> Identity:
        """The identity that the token carries.

        Raises TokenMissing, TokenInvalid, TokenExpired; and Unavailable while published keys that are needed
        cannot be fetched. No message holds anything of the token. Whether it was revoked is asked elsewhere.
        """
        if token is None or token == "":
            raise TokenMissing("Connect with `auth: {token}`: a JWT for the user.")
        signed = jws.read(token, self._algorithms)
        if self._keys is not None:
            keys = self._keys.find(signed.algorithm, signed.kid)
        elif self._published is not None:
            keys = await self._published.find(signed.algorithm, signed.kid)
        if not signed.is_verified_by(keys) and not await self._verified_by_newer(signed):
            raise TokenInvalid("The token's signature does not match any of the keys known here.")
        return self._identity(signed.claims())

    async def _verified_by_newer(self, signed: jws.SignedToken) -> bool:
        """Some issuers change their key and leave its `kid` as it was, or give none."""
        if self._published is None or not await self._published.renew():
            return False
        return signed.is_verified_by(await self._published.find(signed.algorithm, signed.kid))

    def _identity(self, claims: dict[str, Any]) -> Identity:
        self._check_parties(claims)
        fault = user_id_fault(claims.get("sub"))
        if fault is not None:
            if isinstance(claims.get("sub"), int):
                fault = "must be a string: the issuer must put the user's id in quotes"
            raise TokenInvalid(f"The token's `sub`, the user's id, {fault}.")
        issued_at = self._check_times(claims)
        return Identity(
            claims["sub"],
            int(claims["exp"]),
            issued_at,
            self._names(claims, "join", room_name_fault, self._max_rooms),
            self._names(claims, "rooms", room_pattern_fault, MOST_PATTERNS),
            self._names(claims, "send", send_pattern_fault, MOST_PATTERNS),
        )

    def _check_parties(self, claims: dict[str, Any]) -> None:
        """By whom and for whom (RFC 7519 sections 4.1.1 and 4.1.3)."""
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise TokenInvalid("The token's `iss` is not the issuer accepted here.")
        audience = claims.get("aud")
        if self._audience is None:
            # "If the principal processing the claim does not identify itself with a value in the "aud" claim
            # when this claim is present, then the JWT MUST be rejected": it was issued for another service.
            if audience is not None:
                raise TokenInvalid(
                    "The token has an `aud`, but no audience is configured here (NOTIFY_JWT_AUDIENCE)."
                )
        elif audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            raise TokenInvalid("The token's `aud` is not the audience accepted here.")

    def _check_times(self, claims: dict[str, Any]) -> int:
        """Check `nbf`, `iat` and `exp`; return when the token was issued."""
        expires_at, not_before, issued_at = _time(claims, "exp"), _time(claims, "nbf"), _time(claims, "iat")
        if expires_at is None:
            raise TokenInvalid("The token has no `exp`.")
        now = self._clock()
        if max(not_before or 0, issued_at or 0) > now + self._leeway_s:
            raise TokenInvalid("The token is not valid yet (`nbf`, `iat`): check the issuer's clock.")
        if int(expires_at) <= now:
            raise TokenExpired("The token has expired.")
        return max(0, int(issued_at or 0))

    def _names(self, claims: dict[str, Any], claim: str, fault_of: Fault, most: int) -> tuple[str, ...]:
        """A claim that lists names, each once. Equal lists share one tuple: most users carry the same few."""
        value = claims.get(claim)
        if not value:
            if value is None or value == []:
                return ()
            raise TokenInvalid(f"The token's `{claim}` must be a list of strings.")
        if not isinstance(value, list):
            raise TokenInvalid(f"The token's `{claim}` must be a list of strings.")
        if len(value) > most:
            raise TokenInvalid(f"The token's `{claim}` has more than {most} entries.")
        names = tuple(value)
        if all(type(name) is str for name in names):
            known = self._shared.get((fault_of, names))
            if known is not None:
                return known
        for index, name in enumerate(names):
            fault = fault_of(name)
            if fault is not None:
                raise TokenInvalid(f"The token's `{claim}`, entry {index}, {fault}.")
        if len(self._shared) >= _MOST_SHARED:
            self._shared.clear()
        return self._shared.setdefault((fault_of, names), tuple(dict.fromkeys(names)))


def _time(claims: dict[str, Any], claim: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), which may have a fraction."""
    if claim not in claims:
        return None
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid(f"The token's `{claim}` must be a number: seconds since 1970.")
    if not -LATEST_TIME <= value <= LATEST_TIME:
        raise TokenInvalid(f"The token's `{claim}` is out of range: it must be in seconds, not milliseconds.")
    return value
