"""API keys as Redis holds them: one hash, id to record. What is kept of a key's secret is its SHA-256."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from notify.domain.api_key import ApiKey

if TYPE_CHECKING:
    from notify.redis.client import Redis
    from notify.store.keys import Keys


class ApiKeyStore:
    """The keys that were created. All nodes see the same; none has a time to live."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._name = keys.api_keys

    async def put(self, key: ApiKey, digest: bytes) -> None:
        """Keep `key` and the SHA-256 of its secret. Raises Unavailable."""
        await self._redis.execute("HSET", self._name, key.id, _encoded(key, digest))

    async def get(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        """The key of that id and the digest of its secret, or None. Raises Unavailable."""
        record = await self._redis.execute("HGET", self._name, key_id)
        return None if record is None else _decoded(key_id, record)

    async def all(self) -> list[ApiKey]:
        """Every key, oldest first. Raises Unavailable."""
        flat = await self._redis.execute("HGETALL", self._name)
        found = [
            _decoded(key_id.decode(), record)[0] for key_id, record in zip(flat[::2], flat[1::2], strict=True)
        ]
        return sorted(found, key=lambda key: (key.created_at or datetime.min.replace(tzinfo=UTC), key.id))

    async def remove(self, key_id: str) -> bool:
        """Forget the key; whether there was one. Raises Unavailable."""
        return bool(await self._redis.execute("HDEL", self._name, key_id))


def _encoded(key: ApiKey, digest: bytes) -> bytes:
    return orjson.dumps(
        {
            "name": key.name,
            "scopes": sorted(key.scopes),
            "created_at": key.created_at,
            "last4": key.last4,
            "sha256": digest.hex(),
        }
    )


def _decoded(key_id: str, record: bytes) -> tuple[ApiKey, bytes]:
    found = orjson.loads(record)
    key = ApiKey(
        id=key_id,
        name=found["name"],
        scopes=frozenset(found["scopes"]),
        created_at=datetime.fromisoformat(found["created_at"]),
        last4=found["last4"],
    )
    return key, bytes.fromhex(found["sha256"])
