"""What backends ordered about a user lately, as it stands in Redis.

    {"v":1,"at":"<offset>","away":"<offset>","rooms":{"<namespace>\\n<room>":"<offset>"}}

`order.lua` writes it, for as long as a session may be away; recoveries and nodes that have come back read it.
An order holds for what began before it: a session that began later, or a room joined later, is not meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from notify.domain.offset import Offset

VERSION = 1


def room_field(namespace: str, room: str) -> str:
    """A room's name in `rooms`."""
    return f"{namespace}\n{room}"


@dataclass(frozen=True, slots=True)
class Orders:
    """`away`: sessions that began before it are over. `rooms`: who joined before it is out of the room."""

    away: Offset | None = None
    rooms: Mapping[str, Offset] = field(default_factory=dict)

    @classmethod
    def decode(cls, stored: bytes | None) -> Orders:
        """Read what Redis holds. A missing or unknown value means no order."""
        if not stored:
            return cls()
        try:
            found = orjson.loads(stored)
            rooms = {room: Offset.parse(at) for room, at in found.get("rooms", {}).items()}
            return cls(
                Offset.parse(found.get("away")), {room: at for room, at in rooms.items() if at is not None}
            )
        except (ValueError, AttributeError):
            return cls()

    def end(self, start: Offset) -> bool:
        """True for a session that began at `start`, and was sent away since."""
        return self.away is not None and self.away.follows(start)

    def remove(self, namespace: str, room: str, joined: Offset) -> bool:
        """True for one who is in a room since `joined`, and was taken out of it since."""
        at = self.rooms.get(room_field(namespace, room))
        return at is not None and at.follows(joined)
