"""The credential of a backend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

Scope = Literal["publish", "read", "admin"]

SCOPES: Final[dict[Scope, str]] = {
    "publish": "post notifications, cancel and retract them",
    "read": "look at notifications, inboxes, presence and rooms",
    "admin": "change what users and rooms are: mark inboxes, disconnect users, move them in and out of rooms",
}
"""Every scope and what it allows. None includes another."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, without its secret. `id` is what idempotency is scoped to and what may stand in logs.

    `created_at` is None for a key from the settings, and so is `last4`: four characters may be a large part
    of a key that somebody made up.
    """

    id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime | None = None
    last4: str | None = None

    @property
    def shown(self) -> str:
        """Enough of the key to recognise it by."""
        return f"nk_{self.id}_...{self.last4}" if self.last4 else self.id
