"""Validators of HTTP answers: `ETag` and `If-None-Match` (RFC 9110, 8.8.3 and 13.1.2)."""

from __future__ import annotations

import re

_TAG = r'(?:W/)?("[^\x00-\x20"\x7f]*")'
_ONE = re.compile(_TAG)
_LIST = re.compile(rf"[ \t,]*(?:{_TAG}[ \t]*(?:,[ \t,]*|\Z))*")
"""Members of a list may be empty (RFC 9110, 5.6.1)."""

ANY = ("*",)
"""What `*` stands for."""


def listed(if_none_match: str | None) -> tuple[str, ...]:
    """The ETags that the header names, without their `W/`, or ANY; none when it is malformed or not there."""
    if if_none_match is None:
        return ()
    if if_none_match.strip(" \t") == "*":
        return ANY
    return tuple(_ONE.findall(if_none_match)) if _LIST.fullmatch(if_none_match) else ()


def has_it(if_none_match: str | None, etag: str) -> bool:
    """Whether who sends this header has the answer of that ETag: `*` is any, others are compared weakly."""
    named = listed(if_none_match)
    return named == ANY or etag.removeprefix("W/") in named
