"""The head of a plain POST: what nearly every backend sends, read without HTTP's machinery, and no I/O.

Callers that keep their connections say the same again and again, so heads that were read are remembered.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from notify.ingest.http.route_wrapper import good_request_id
from notify.protocol.headers import LONGEST_HEAD, plain_headers

_MOST_KEPT = 256
_LONGEST_KEPT = 1024

_ONCE = frozenset(
    (b"host", b"content-length", b"content-type", b"authorization", b"connection", b"x-request-id")
)
_NOT_PLAIN = frozenset(
    (
        b"content-encoding",
        b"expect",
        b"idempotency-key",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_LENGTH = re.compile(rb"[1-9][0-9]{0,9}").fullmatch


class PlainHead(NamedTuple):
    """What matters in a head that has nothing unusual in it."""

    length: int
    """Of the body that follows."""
    presented: str
    """The API key."""
    request_id: str | None
    """That the caller gave, if it is a good one."""


class PlainHeads:
    """Reads the heads of POSTs to one path."""

    def __init__(self, path: str) -> None:
        self.first_line = f"POST {path} HTTP/1.1\r\n".encode()
        self._kept: dict[bytes, PlainHead] = {}

    def read(self, head: bytes) -> PlainHead | None:
        """The head (without its empty line) if it is plain, else None.

        Plain is HTTP/1.1 with a host, a body of known length that is `application/json`, a bearer's key, each
        once, and nothing that would change how the request is read or what it asks for.
        """
        known = self._kept.get(head)
        if known is not None:
            return known
        found = self._parsed(head)
        if found is not None and found.request_id is None and len(head) <= _LONGEST_KEPT:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[head] = found
        return found

    def _parsed(self, head: bytes) -> PlainHead | None:
        if len(head) > LONGEST_HEAD or not head.startswith(self.first_line):
            return None
        lines = head[len(self.first_line) :].split(b"\r\n")
        found = plain_headers(lines, once=_ONCE, not_plain=_NOT_PLAIN)
        if found is None:
            return None
        length = found.get(b"content-length", b"")
        scheme, _, presented = found.get(b"authorization", b"").partition(b" ")
        if (
            b"host" not in found
            or not _LENGTH(length)
            or found.get(b"content-type") != b"application/json"
            or found.get(b"connection", b"keep-alive").lower() != b"keep-alive"
            or scheme.lower() != b"bearer"
        ):
            return None
        try:
            key, request_id = presented.decode("ascii"), found.get(b"x-request-id", b"").decode("ascii")
        except ValueError:
            return None
        return PlainHead(int(length), key.strip(), request_id if good_request_id(request_id) else None)
