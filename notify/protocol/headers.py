"""The head of a request that has nothing unusual in it, and no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_HEAD = 8190
"""Bytes of request line and headers of a plain request: what aiohttp allows for one line."""
END_OF_HEAD = b"\r\n\r\n"
SERVER = "notify"
"""What every answer has as its `Server`: what we are made of, and of which version, is nobody's business."""

_HEADER = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*))?"
)
"""One header line without its end: name and value (RFC 9110 section 5.5)."""


def plain_headers(
    lines: Iterable[bytes], *, once: frozenset[bytes], not_plain: frozenset[bytes]
) -> dict[bytes, bytes] | None:
    """The values of the headers named in `once`, by their lower-case names.

    None when one of those comes twice, when one of `not_plain` is there, or when a line is no header.
    """
    found: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        name = header[1].lower()
        if name in not_plain:
            return None
        if name in once:
            if name in found:
                return None
            found[name] = (header[2] or b"").rstrip()
    return found
