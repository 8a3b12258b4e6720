"""Moments as callers write and read them: RFC 3339 in JSON, unix milliseconds inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
"""Section 5.6: date, time, offset. Weeks, and times without an offset, are ISO 8601 only."""

NOT_A_TIME = "must be an RFC 3339 time, such as 2026-12-01T09:00:00Z"
"""What is wrong with what `parsed` makes nothing of."""


def parsed(text: object) -> int | None:
    """The unix milliseconds of an RFC 3339 time, or None when it is not one."""
    found = _RFC_3339.fullmatch(text) if isinstance(text, str) and len(text) <= 64 else None
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    leap = clock.endswith(":60")
    if leap:
        clock = clock[:-2] + "59"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError):
        return None
    return (seconds + leap) * 1000 + (0 if leap or not fraction else int(fraction.ljust(3, "0")[:3]))


def moment(unix_ms: int) -> datetime:
    """The moment as a datetime in UTC."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


@lru_cache(maxsize=64)  # an event and its answer show the same times
def timestamp(unix_ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _second(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%S}"
