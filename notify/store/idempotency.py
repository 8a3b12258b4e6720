"""What an Idempotency-Key stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.keys import IDEMPOTENCY_TTL_S, LEASE_MS, Keys

CLAIM = scripts.load(__package__, "idempotency_claim")

Verdict = Literal["new", "done", "resume", "busy", "reused"]


@dataclass(frozen=True, slots=True)
class ClaimedKey:
    """The verdict on a key, and what the answer to its first request is made from (empty: busy, reused)."""

    verdict: Verdict
    answer: bytes


class IdempotencyKeys:
    """Keys live 24 hours. A request that is being worked on holds a lease, so that a copy of it waits."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def claim(self, scope: str, key: str, *, body: bytes, meaning: bytes, answer: bytes) -> ClaimedKey:
        """Claim a key for a request whose answer would be made from `answer`.

        `body` and `meaning` are fingerprints, of what was sent and of what it means: it is the same request
        when either is the same. Raises Unavailable.
        """
        verdict, kept = await self._redis.run(
            CLAIM,
            [self._keys.idempotency(scope, key)],
            [body, answer, LEASE_MS, IDEMPOTENCY_TTL_S, meaning],
        )
        return ClaimedKey(verdict.decode(), kept)

    async def finish(self, scope: str, key: str) -> None:
        """Everything of the request is published: from now on copies get its answer. Raises Unavailable."""
        await self._redis.execute("HSET", self._keys.idempotency(scope, key), "lease", 0)
