"""API keys: made, listed, revoked, recognised.

A made key is `nk_<id>_<secret>`. The id finds its record in Redis with one HGET; the secret is 192 random
bits, of which Redis holds the SHA-256. (A slow password hash would add nothing: nobody guesses 192 bits.)
Keys may also come from the settings (`NOTIFY_API_KEYS`): those carry every scope and need no Redis.

A key that was recognised is remembered for `cache_s` seconds, so a POST costs no extra round trip. That is
also how long a revoked key may still be let in, on a node that has just seen it; the node that revokes it
forgets it at once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from notify.domain.api_key import SCOPES, ApiKey
from notify.domain.errors import FieldError, Invalid, NotFound, Unauthorized

CACHE_S = 5.0
SHORTEST_SECRET = 16
"""Characters in a key from the settings. One that is made up by hand should be longer; made ones are."""
SECRET_BYTES: Final = 24
ID_BYTES: Final = 6

_MADE = re.compile(rf"nk_([0-9a-f]{{{ID_BYTES * 2}}})_([0-9a-f]{{{SECRET_BYTES * 2}}})")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_CACHED = 10_000


class Store(Protocol):
    """The part of `store.api_keys.ApiKeyStore` that is used here."""

    async def put(self, key: ApiKey, digest: bytes) -> None: ...
    async def get(self, key_id: str) -> tuple[ApiKey, bytes] | None: ...
    async def all(self) -> list[ApiKey]: ...
    async def remove(self, key_id: str) -> bool: ...


class ApiKeys:
    """The keys of this installation. `configured` are the entries of `NOTIFY_API_KEYS`."""

    def __init__(
        self,
        store: Store,
        *,
        configured: Sequence[str] = (),
        cache_s: float = CACHE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._configured = parse_configured(configured)
        self._cache_s = cache_s
        self._clock = clock
        # By the digest of the whole key, so that secrets are neither kept nor compared here.
        self._cache: dict[bytes, tuple[ApiKey, float]] = {}

    async def verify(self, presented: str) -> ApiKey:
        """The key that was presented. Raises Unauthorized; Unavailable when Redis is asked and away."""
        known = self.known(presented)
        if known is not None:
            return known
        # The time is taken before Redis is asked: a key that is revoked while its record is under way to us
        # is remembered no longer than one that is revoked right after.
        until = self._clock() + self._cache_s
        key = await self._look_up(presented)
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[_sha256(presented)] = key, until
        return key

    def known(self, presented: str) -> ApiKey | None:
        """The key that was presented, if Redis need not be asked."""
        digest = _sha256(presented)
        known = self._cache.get(digest)
        if known is not None and known[1] > self._clock():
            return known[0]
        return self._configured.get(digest)

    async def _look_up(self, presented: str) -> ApiKey:
        made = _MADE.fullmatch(presented)
        found = await self._store.get(made[1]) if made else None
        if made and found:
            key, digest = found
            if hmac.compare_digest(_sha256(made[2]), digest):
                return key
        raise Unauthorized("The API key is not known")

    async def create(self, name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
        """A new key and its text, which nobody can be told a second time. Raises Invalid, Unavailable."""
        wanted = frozenset(scopes)
        faults = []
        if not _NAME.fullmatch(name):
            faults.append(FieldError("/name", "must be 1 to 64 letters, digits, and . _ -"))
        if not wanted or not wanted <= SCOPES.keys():
            faults.append(FieldError("/scopes", f"must be one or more of {', '.join(SCOPES)}"))
        if faults:
            raise Invalid("The key cannot be created", errors=faults)
        secret = secrets.token_hex(SECRET_BYTES)
        key = ApiKey(
            id=secrets.token_hex(ID_BYTES),
            name=name,
            scopes=wanted,
            created_at=datetime.now(UTC),
            last4=secret[-4:],
        )
        await self._store.put(key, _sha256(secret))
        return key, f"nk_{key.id}_{secret}"

    async def list(self) -> list[ApiKey]:
        """The keys from the settings, then the made ones, oldest first. Raises Unavailable."""
        return [*self._configured.values(), *await self._store.all()]

    async def revoke(self, key_id: str) -> None:
        """Forget a made key: here at once, on other nodes within `cache_s`. Raises NotFound, Unavailable."""
        if any(key.id == key_id for key in self._configured.values()):
            raise NotFound(f"{key_id} is set in NOTIFY_API_KEYS: remove it there and restart")
        removed = await self._store.remove(key_id)
        self._cache = {digest: entry for digest, entry in self._cache.items() if entry[0].id != key_id}
        if not removed:
            raise NotFound(f"No API key has the id {key_id!r}")


def parse_configured(entries: Iterable[str]) -> dict[bytes, ApiKey]:
    """Keys from the settings by the SHA-256 of their secret. Each entry is `<secret>` or `<name>:<secret>`.

    A name may come twice, with an old and a new secret, while the backends are moved from one to the other;
    both then share their idempotency. Raises ValueError in words that hold no secret.
    """
    found: dict[bytes, ApiKey] = {}
    for place, entry in enumerate(entries, 1):
        name, colon, secret = entry.strip().partition(":")
        if not colon:
            name, secret = "", name
        elif not _NAME.fullmatch(name):
            raise ValueError(f"API key {place}: the name must be 1 to 64 letters, digits, and . _ -")
        if len(secret) < SHORTEST_SECRET or not _VISIBLE.fullmatch(secret):
            raise ValueError(f"API key {place} must have {SHORTEST_SECRET} or more visible ASCII characters")
        digest = _sha256(secret)
        if digest in found:
            raise ValueError(f"API key {place} is listed twice")
        key_id = f"env-{name or digest.hex()[:12]}"
        found[digest] = ApiKey(id=key_id, name=name or key_id, scopes=frozenset(SCOPES))
    return found


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
