"""Holds back what is live for one member while it is being let in."""

from __future__ import annotations

from notify.backplane.delivery import Delivery
from notify.backplane.membership import Member
from notify.domain.offset import Offset
from notify.protocol.engineio import Wire


class ReplayBuffer:
    """Live traffic during a replay waits here, then goes on without a gap or a duplicate.

    Closed, it holds everything. Opened at the moment the log was read (`floor`), it lets pass what came after
    and drops what came before: that was replayed, or was published before this connection began. The first
    message that passes takes the buffer away from its member, since everything after it comes later still.
    """

    deaf = False
    __slots__ = ("_floor", "_held", "_limit", "_member", "_size")

    def __init__(self, member: Member, *, limit: int) -> None:
        self._member = member
        self._limit = limit
        self._size = 0
        self._held: list[Delivery] | None = []
        self._floor: Offset | None = None

    def offer(self, delivery: Delivery) -> None:
        """Hold or pass on a live message. Past its limit the member is a slow consumer, like any other."""
        held = self._held
        if held is None:
            self._pass(delivery)
            return
        held.append(delivery)
        self._size += len(delivery.array)
        if self._size > self._limit:
            self._held = []
            self._member.socket.too_slow()

    def emit(self, wire: Wire) -> None:
        """What has no offset is not held back."""
        self._member.socket.send(wire)

    def open(self, floor: Offset) -> None:
        """Pass on what came after `floor`, and drop the rest."""
        held, self._held = self._held or [], None
        self._floor = floor
        for delivery in held:
            self._pass(delivery)

    def _pass(self, delivery: Delivery) -> None:
        floor, member = self._floor, self._member
        if floor is None or delivery.offset.epoch != floor.epoch or delivery.offset.follows(floor):
            member.replay_buffer = None
            self._floor = None
            member.socket.send(delivery.wire(member.variant))

    def lift(self) -> None:
        """Everything up to the floor has been delivered: the buffer is not needed any more."""
        if self._member.replay_buffer is self:
            self._member.replay_buffer = None
