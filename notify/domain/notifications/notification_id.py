"""Ids of notifications: `ntf_` and a ULID (48 bits of time in ms, 80 random bits, Crockford's base 32)."""

from __future__ import annotations

import hashlib
import random

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
"""Two characters for ten bits: eight look-ups where a loop over characters would take ten times as long."""

PREFIX = "ntf_"


def new_id(created_ms: int) -> str:
    """An id nobody has had. Ids sort by the time at which they were made."""
    return _id(created_ms, random.getrandbits(80))


def derived_id(base: str, index: int, created_ms: int) -> str:
    """The id of a batch's item: the same whenever the same batch is worked on again."""
    digest = hashlib.sha256(f"{base}:{index}".encode()).digest()
    return _id(created_ms, int.from_bytes(digest[:10], "big"))


def created_ms_of(notification_id: str) -> int:
    """When an id was made. Raises ValueError when it is none."""
    created_ms = 0
    for letter in notification_id.removeprefix(PREFIX)[:10]:
        created_ms = created_ms << 5 | _ALPHABET.index(letter)
    return created_ms


def _id(created_ms: int, bits: int) -> str:
    pairs = _PAIRS
    return (
        f"{PREFIX}{pairs[created_ms >> 40 & 1023]}{pairs[created_ms >> 30 & 1023]}"
        f"{pairs[created_ms >> 20 & 1023]}{pairs[created_ms >> 10 & 1023]}{pairs[created_ms & 1023]}"
        f"{pairs[bits >> 70]}{pairs[bits >> 60 & 1023]}{pairs[bits >> 50 & 1023]}{pairs[bits >> 40 & 1023]}"
        f"{pairs[bits >> 30 & 1023]}{pairs[bits >> 20 & 1023]}{pairs[bits >> 10 & 1023]}{pairs[bits & 1023]}"
    )
