"""Where nodes reach each other, and the secret by which they know each other, in Redis."""

from __future__ import annotations

import secrets
from typing import Any

from notify.domain.addresses import AddressBook
from notify.redis import scripts
from notify.redis.client import Redis
from notify.store.keys import ADDRESS_TTL_S, FORMER_SECRET_S, Keys

ADDRESSES = scripts.load(__package__, "node_addresses")
ROTATE = scripts.load(__package__, "secret_rotate")
SECRET_BYTES = 32


class Addresses:
    """One hash of marks and addresses, one of secrets. All raise Unavailable or StoreError."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def say(self, mark: str, url: str, *, first: bool = False) -> AddressBook:
        """Enter the address of a node, for 20 s; what is known then.

        With `first` it is not entered if the mark is that of another living node.
        """
        return await self._run(mark, url, first=first)

    async def look(self) -> AddressBook:
        """What is known, without saying anything."""
        return await self._run("", "")

    async def forget(self, mark: str) -> None:
        """Take a node out."""
        await self._run(mark, "")

    async def rotate_secret(self) -> None:
        """Make a new secret. The former one is accepted for another 30 s."""
        await self._redis.run(ROTATE, [self._keys.cluster_secret], [_fresh_secret(), FORMER_SECRET_S * 1000])

    async def _run(self, mark: str, url: str, *, first: bool = False) -> AddressBook:
        reply: Any = await self._redis.run(
            ADDRESSES,
            [self._keys.addresses, self._keys.cluster_secret],
            [mark, url, ADDRESS_TTL_S * 1000, _fresh_secret(), 1 if first else 0],
        )
        taken, flat, accepted = reply
        said = [part.decode() for part in flat]
        return AddressBook(
            addresses=dict(zip(said[::2], said[1::2], strict=True)),
            secrets=tuple(secret.decode() for secret in accepted),
            taken=taken == b"1",
        )


def _fresh_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)
