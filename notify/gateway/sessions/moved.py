"""What travels when a session moves from node to node. The version is that of the link (`protocol.links`)."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from notify.backplane.acknowledgements import AckUnderWay
from notify.backplane.membership import Member
from notify.domain.channel import Channel
from notify.domain.offset import Offset
from notify.gateway.auth.authenticator import Identity
from notify.gateway.engineio.heartbeat import Beat
from notify.protocol.engineio import Wire


@dataclass(frozen=True, slots=True)
class MovedMember:
    """One connection in one namespace, as `backplane.membership.Member` has it."""

    sid: str
    namespace: str
    pid: str | None
    identity: Identity
    with_offset: bool
    start: Offset
    channels: tuple[Channel, ...]
    join_positions: dict[str, str] | None
    granted: tuple[str, ...]
    since: int

    @classmethod
    def of(cls, member: Member) -> MovedMember:
        """How a member stands. Raises ValueError for one that has not begun."""
        if member.start is None:
            raise ValueError("a member without a start")
        return cls(
            member.sid,
            member.namespace,
            member.pid,
            member.identity,
            member.variant.with_offset,
            member.start,
            tuple(room.channel for room in member.rooms),
            member.join_positions,
            member.granted,
            member.since,
        )


@dataclass(frozen=True, slots=True)
class Description:
    """A session that is to move, and the node that has it."""

    node: str
    members: tuple[MovedMember, ...]

    def encode(self) -> bytes:
        """As it travels: equal ones have equal bytes."""
        members = [
            {
                "sid": one.sid,
                "namespace": one.namespace,
                "pid": one.pid,
                "identity": asdict(one.identity),
                "with_offset": one.with_offset,
                "start": str(one.start),
                "channels": [[channel.namespace, channel.kind, channel.name] for channel in one.channels],
                "join_positions": one.join_positions,
                "granted": one.granted,
                "since": one.since,
            }
            for one in self.members
        ]
        return orjson.dumps({"node": self.node, "members": members}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, data: bytes) -> Description:
        """The inverse. Raises ValueError."""
        try:
            found = orjson.loads(data)
            return cls(found["node"], tuple(_member(one) for one in found["members"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not a description of a session") from error

    @property
    def digest(self) -> str:
        """What stands for it where it is known."""
        return hashlib.sha256(self.encode()).hexdigest()


def _member(one: Any) -> MovedMember:
    """Raises KeyError, TypeError, ValueError."""
    start = Offset.parse(one["start"])
    if start is None:
        raise ValueError("not an offset")
    identity = one["identity"]
    return MovedMember(
        sid=one["sid"],
        namespace=one["namespace"],
        pid=one["pid"],
        identity=Identity(
            identity["user"],
            identity["expires_at"],
            identity["issued_at"],
            join=tuple(identity["join"]),
            rooms=tuple(identity["rooms"]),
            send=tuple(identity["send"]),
        ),
        with_offset=one["with_offset"],
        start=start,
        channels=tuple(Channel(*channel) for channel in one["channels"]),
        join_positions=one["join_positions"],
        granted=tuple(one["granted"]),
        since=one["since"],
    )


@dataclass(frozen=True, slots=True)
class Order:
    """To hand a session over, if it still stands as described: where to, and the token of the cut."""

    node: str
    token: str
    digest: str

    def encode(self) -> bytes:
        """As it travels."""
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Order:
        """The inverse. Raises ValueError."""
        try:
            return cls(**orjson.loads(data))
        except TypeError as error:
            raise ValueError("not an order") from error


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What goes with a session: packets that its client has not been sent, and acknowledgements under way.

    Each acknowledgement is with the namespace of its member. `beat`: where the heartbeat is; None from a node
    of a release before this, which does not say so. `warned`: the namespaces whose members have been told
    that their tokens expire.
    """

    wires: Sequence[Wire]
    acks: Sequence[tuple[str, AckUnderWay]]
    beat: Beat | None = None
    warned: Sequence[str] = ()

    def encode(self) -> bytes:
        """As it travels."""
        packets = [
            part.decode() if isinstance(part, bytes) else [b64encode(part).decode()]
            for wire in self.wires
            for part in wire.parts
        ]
        acks = [(namespace, tuple(ack)) for namespace, ack in self.acks]
        beat = None if self.beat is None else tuple(self.beat)
        return orjson.dumps({"packets": packets, "acks": acks, "beat": beat, "warned": self.warned})

    @classmethod
    def decode(cls, data: bytes) -> HandedOver:
        """The inverse. Raises ValueError."""
        try:
            found = orjson.loads(data)
            wires = [
                Wire(part.encode() if isinstance(part, str) else memoryview(b64decode(part[0])))
                for part in found["packets"]
            ]
            acks = [(namespace, AckUnderWay(*ack)) for namespace, ack in found["acks"]]
            beat = found.get("beat")
            at = None if beat is None else Beat(bool(beat[0]), float(beat[1]))
            return cls(wires, acks, at, found.get("warned", ()))
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError("not a session") from error
