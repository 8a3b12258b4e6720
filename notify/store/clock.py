"""The clock of offsets, as scripts answer with it."""

from __future__ import annotations

import random

from notify.domain.offset import Offset
from notify.redis.client import StoreError


def fresh_epoch() -> str:
    """A new epoch, should the clock not exist: never the same twice, or lost data would not be noticed."""
    return f"{random.getrandbits(32):08x}"


def offset_of(reply: bytes) -> Offset:
    """The offset in a script's answer. Raises StoreError when something else wrote to the clock."""
    offset = Offset.parse(reply.decode())
    if offset is None:
        raise StoreError(
            "the clock in Redis does not hold an offset: is something else writing under the prefix?"
        )
    return offset
