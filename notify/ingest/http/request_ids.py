"""Ids of requests, for those that bring none: they stand in answers and in the log."""

from __future__ import annotations

import itertools
import secrets

REQUEST_ID = "X-Request-Id"


class RequestIds:
    """Makes ids: unique over nodes by a random part, cheap by a counter."""

    def __init__(self) -> None:
        self._prefix = f"req-{secrets.token_hex(6)}-"
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """One that was never there before."""
        return f"{self._prefix}{next(self._numbers)}"
