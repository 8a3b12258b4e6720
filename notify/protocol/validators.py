"""Validators of HTTP answers: `ETag` and `If-None-Match` (RFC 9110, 8.8.3 and 13.1.2)."""

from __future__ import annotations


def has_it(if_none_match: str | None, etag: str) -> bool:
    """Whether who sends this header has the answer of that ETag: `*` is any, the others are compared weakly.

    An ETag with a comma in it is never found.
    """
    if if_none_match is None:
        return False
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return named == ["*"] or etag.removeprefix("W/") in named
