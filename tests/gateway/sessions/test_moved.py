"""What travels with a session that moves comes out as it went in."""

from __future__ import annotations

import pytest

from notify.backplane.acknowledgements import AckUnderWay
from notify.domain.channel import Channel
from notify.domain.offset import Offset
from notify.gateway.auth.authenticator import Identity
from notify.gateway.engineio.heartbeat import Beat
from notify.gateway.sessions.moved import Description, HandedOver, MovedMember, Order
from notify.protocol.engineio import Wire


def description(**changed):
    fields = {
        "sid": "sid",
        "namespace": "/",
        "pid": "pid",
        "identity": Identity("ada", 2_000_000_000, 1, ("lobby",), ("project:*",), ("user:*",)),
        "with_offset": True,
        "start": Offset("epoch", 12, 3),
        "channels": (Channel("/", "all"), Channel("/", "user", "ada"), Channel("/", "room", "lobby")),
        "join_positions": {"lobby": "13-0"},
        "granted": ("lobby",),
        "since": 7,
    }
    return Description("node-1", (MovedMember(**{**fields, **changed}),))


@pytest.mark.parametrize(
    "changed", [{}, {"pid": None, "with_offset": False, "join_positions": None, "granted": ()}]
)
def test_a_description_comes_out_as_it_went_in(changed):
    there = description(**changed)
    here = Description.decode(there.encode())
    assert here == there
    assert here.digest == there.digest


def test_whatever_changes_in_a_session_changes_its_digest():
    digests = {
        described.digest
        for described in (
            description(),
            description(channels=(Channel("/", "all"),)),
            description(join_positions={"lobby": "13-1"}),
            description(granted=()),
            description(identity=Identity("ada", 2_000_000_001, 1)),
            Description("node-1", ()),
        )
    }
    assert len(digests) == 6


def test_an_order_comes_out_as_it_went_in():
    order = Order("node-2", "token", "digest")
    assert Order.decode(order.encode()) == order


def test_packets_and_acknowledgements_come_out_as_they_went_in():
    wires = [
        Wire(b'42["\xc3\xa4\\n"]'),
        Wire(b'451-["a",{"_placeholder":true,"num":0}]', memoryview(b"\x00\xff")),
    ]
    acks = [("/", AckUnderWay(3, "host", "room", "/", 9)), ("/chat", AckUnderWay(1, "host", "r", "/chat", 2))]
    handed = HandedOver.decode(HandedOver(wires, acks, Beat(True, 1.5), ["/"]).encode())
    assert (handed.beat, handed.warned) == (Beat(True, 1.5), ["/"])
    assert b"".join(wire.frames for wire in handed.wires) == b"".join(wire.frames for wire in wires)
    assert list(handed.acks) == acks


def test_a_node_of_a_release_before_does_not_say_where_heartbeat_and_warnings_are():
    before = HandedOver.decode(b'{"packets":["2"],"acks":[]}')
    assert (before.beat, before.warned) == (None, ())


@pytest.mark.parametrize("kind", [Description, Order, HandedOver])
@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"node":1}', b'{"packets":[1],"acks":[]}', b'{"packets":[],"acks":[],"beat":[1]}'],
)
def test_anything_else_is_a_value_error(kind, data):
    with pytest.raises(ValueError):
        kind.decode(data)
