"""The keys that an issuer publishes at a URL (a JWK set, RFC 7517), fetched when they are needed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog

from notify.domain.errors import Unavailable
from notify.gateway.auth.signing_keys import KeySet, from_jwks

log = structlog.get_logger(__name__)

FETCH_TIMEOUT_S: Final = 2.0
LARGEST_DOCUMENT: Final = 256 * 1024
DEFAULT_TTL_S, SHORTEST_TTL_S, LONGEST_TTL_S = 300.0, 60.0, 3600.0
MIN_INTERVAL_S: Final = 10.0
"""Between two fetches: bounds what tokens with made-up `kid`s can make us ask of the issuer."""
FIRST_RETRY_S: Final = 1.0
"""Between two fetches while there are no keys at all: nobody can connect."""
STALE_IF_ERROR_S: Final = 24 * 3600.0
ABSENT_S: Final = 60.0
"""A key that was asked for this long ago and has never been there is refused between two fetches, too."""
_MOST_ABSENT: Final = 256
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)


def new_session() -> aiohttp.ClientSession:
    """A session for one fetch; proxies of the environment (`HTTPS_PROXY`) are used."""
    return aiohttp.ClientSession(trust_env=True)


class PublishedKeys:
    """The current keys behind a URL.

    They are fetched again when they are older than the answer's `max-age` (5 minutes without one, never less
    than 1 minute or more than 60) and when a token names a key that is not among them, at most once in 10 s.
    While the endpoint is down the last keys stay in use for a day. All who wait, wait for the same fetch.
    """

    def __init__(
        self,
        url: str,
        *,
        algorithms: Collection[str],
        http: Callable[[], aiohttp.ClientSession] = new_session,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("the URL of a JWK set begins with https:// (or http://)")
        self.fetches = 0
        """Fetches that brought keys."""
        self.failures = 0
        """Fetches that did not."""
        self._url = url
        self._algorithms = algorithms
        self._http = http
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = self._fresh_until = self._next_fetch = float("-inf")
        self._failing = False
        self._absent: dict[str, float] = {}
        """When names were first found to be absent."""
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Task[None] | None = None

    @property
    def known(self) -> bool:
        """True once keys were fetched: until then nobody can connect."""
        return self._keys is not None

    async def start(self) -> None:
        """Fetch the keys. An endpoint that is down is logged, not raised, and asked until it has answered."""
        await self._refresh()
        if not self.known:
            self._first = asyncio.get_running_loop().create_task(self._until_known(), name="jwks-first")

    async def stop(self) -> None:
        """Cancel a fetch that is under way."""
        tasks = [task for task in (self._first, self._task) if task is not None]
        self._first = self._task = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _until_known(self) -> None:
        while not self.known:
            await asyncio.sleep(FIRST_RETRY_S)
            await self._refresh()

    async def find(self, algorithm: str, kid: str | None) -> tuple[Any, ...]:
        """The keys to try for such a token; none when the issuer has published no such key.

        Raises Unavailable when that cannot be told: there are no keys yet, or this `kid` is new and the
        issuer cannot be asked right now. Cancelling a caller leaves the fetch that others wait for alone.
        """
        before = self.fetches
        if self._clock() >= self._fresh_until:
            # With the endpoint known to be down and keys at hand, nobody waits for the next attempt.
            await self._refresh(wait=not self._failing or self._keys is None)
        found = self._known().find(algorithm, kid)
        if found or kid is None:
            return found
        now = self._clock()
        if now < self._next_fetch and now - self._absent.get(kid, now) >= ABSENT_S:
            return ()
        if self.fetches == before and await self.renew():
            found = self._known().find(algorithm, kid)
        if found:
            self._absent.pop(kid, None)
            return found
        if self.fetches == before:
            # Refusing the token for good would be wrong: it may be signed with a key made a second ago.
            raise Unavailable(
                "The token names a key that is not known yet; the issuer's keys will be fetched again soon.",
                retry_after_s=self._wait_s(),
            )
        if len(self._absent) >= _MOST_ABSENT:
            self._absent.clear()
        self._absent.setdefault(kid, now)
        return ()

    async def renew(self) -> bool:
        """Fetch again if that is allowed now; True when keys came."""
        before = self.fetches
        await self._refresh()
        return self.fetches > before

    def _known(self) -> KeySet:
        if self._keys is None or self._clock() - self._fetched_at > STALE_IF_ERROR_S:
            raise Unavailable(
                "The keys that verify tokens could not be fetched from the issuer.",
                retry_after_s=self._wait_s(),
            )
        return self._keys

    def _wait_s(self) -> float:
        return max(1.0, self._next_fetch - self._clock())

    async def _refresh(self, *, wait: bool = True) -> None:
        """Fetch, unless it was tried just now; join a fetch that is under way."""
        if self._task is None:
            if self._clock() < self._next_fetch:
                return
            self._task = asyncio.get_running_loop().create_task(self._fetch(), name="jwks")
        if wait:
            # Not awaited itself: cancelling one caller must not cancel the fetch.
            await asyncio.wait([self._task])

    async def _fetch(self) -> None:
        self._next_fetch = self._clock() + MIN_INTERVAL_S
        try:
            keys, ttl_s = await self._download()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self.failures += 1
            self._failing = True
            self._next_fetch = self._clock() + (FIRST_RETRY_S if self._keys is None else MIN_INTERVAL_S)
            log.warning(
                "jwks_failed", error=str(error) or type(error).__name__, have_keys=self._keys is not None
            )
        else:
            now = self._clock()
            if not keys.keys:
                log.warning("jwks_empty")
            self._keys, self._failing = keys, False
            self._fetched_at, self._fresh_until, self._next_fetch = now, now + ttl_s, now + MIN_INTERVAL_S
            self.fetches += 1
        finally:
            self._task = None

    async def _download(self) -> tuple[KeySet, float]:
        body = bytearray()
        async with (
            self._http() as session,
            session.get(
                self._url,
                allow_redirects=False,  # the operator decides where keys come from, not a redirect
                timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S),
                headers={
                    "Accept": "application/jwk-set+json, application/json",
                    "Accept-Encoding": "identity",
                },
            ) as answer,
        ):
            if answer.status != 200:
                raise ValueError(f"the endpoint answered {answer.status}")
            async for chunk in answer.content.iter_chunked(16 * 1024):
                body += chunk
                if len(body) > LARGEST_DOCUMENT:
                    raise ValueError(f"the document is larger than {LARGEST_DOCUMENT} bytes")
            caching = ",".join(answer.headers.getall("Cache-Control", ()))
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ValueError("the document is not JSON") from None
        return from_jwks(document, self._algorithms), _ttl_s(caching)


def _ttl_s(caching: str) -> float:
    """How long an answer stays fresh (RFC 9111 section 5.2.2), within our bounds."""
    if _NOT_KEPT.search(caching):
        return SHORTEST_TTL_S
    found = _MAX_AGE.search(caching)
    return min(max(float(found.group(1)), SHORTEST_TTL_S), LONGEST_TTL_S) if found else DEFAULT_TTL_S
