"""What is left to say to a long-polling client whose session has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notify.gateway.engine import Engine


class Parted:
    """The last words for a long-polling client whose next GET has not come yet."""

    __slots__ = ("bodies", "bucket", "engine", "sid")

    def __init__(self, engine: Engine, sid: str, bodies: Sequence[bytes]) -> None:
        self.engine = engine
        self.sid = sid
        self.bodies = list(bodies)
        self.bucket = engine.patience.add(self, engine.ping_timeout)

    def next(self) -> bytes:
        """What the next GET is answered. The last of it is the end."""
        body = self.bodies.pop(0)
        if not self.bodies:
            self.bucket.discard(self)
            self.give_up()
        return body

    def give_up(self) -> None:
        """It did not come."""
        self.engine.parted.pop(self.sid, None)
