"""A notification that waits for its time, as it is kept until then.

Each version is read by the one after it. A node that meets a later one leaves it to others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from notify.domain.notifications.notification import Accepted, Notification, Target

VERSION = 1
KEPT_MS = 24 * 3600 * 1000
"""How long a plan outlives what it is about, should no node live to drop it."""

_CONTENT = tuple(name for name in Notification._fields if name != "target")


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to deliver it: what was posted, and what it was answered."""

    accepted: Accepted
    notification: Notification
    trace: str
    """The id of the request that it came by."""

    @property
    def deliver_ms(self) -> int:
        """When it is to be delivered, in unix ms."""
        return self.accepted.deliver_ms or self.accepted.created_ms

    @property
    def kept_until_ms(self) -> int:
        """Until when the plan is kept, and its record with it: beyond that it would be worth nothing."""
        return (self.accepted.expires_ms or self.deliver_ms) + KEPT_MS

    def encode(self) -> bytes:
        """As JSON."""
        accepted, notification = self.accepted, self.notification
        target = notification.target
        return orjson.dumps(
            {
                "v": VERSION,
                "id": accepted.id,
                "created_ms": accepted.created_ms,
                "deliver_ms": accepted.deliver_ms,
                "expires_ms": accepted.expires_ms,
                "trace": self.trace,
                "to": {**target._asdict(), "except_users": sorted(target.except_users)},
                **{name: getattr(notification, name) for name in _CONTENT},
            }
        )

    @classmethod
    def decode(cls, kept: bytes) -> Plan:
        """The inverse of `encode`. Raises ValueError when it is not a plan of this version."""
        try:
            found: dict[str, Any] = orjson.loads(kept)
            if found["v"] != VERSION:
                raise ValueError(f"a plan of version {found['v']}, and this node knows {VERSION}")
            to = found["to"]
            return cls(
                Accepted(
                    found["id"],
                    found["created_ms"],
                    found["expires_ms"],
                    deliver_ms=found["deliver_ms"],
                ),
                Notification(
                    Target(tuple(to["users"]), tuple(to["rooms"]), to["all"], frozenset(to["except_users"])),
                    **{name: found[name] for name in _CONTENT},
                ),
                found["trace"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a plan: {error!r}") from error
