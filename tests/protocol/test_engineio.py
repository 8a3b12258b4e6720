"""Packets in the forms of the transports, compared with what other implementations make of them."""

from __future__ import annotations

import pytest
from engineio.payload import Payload
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from notify.protocol.engineio import BINARY, Wire, event_head, frame

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]
TEXTS = st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"])).map(
    lambda text: b"42" + text.encode()
)


def _view(data: bytes) -> memoryview:
    return memoryview(data)


PARTS = st.lists(st.one_of(TEXTS, st.binary().map(_view)), max_size=6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("opcode", "theirs"), [(0x1, Opcode.TEXT), (BINARY, Opcode.BINARY)])
def test_frames_are_those_of_rfc_6455(size: int, opcode: int, theirs: Opcode):
    payload = b"x" * size
    assert frame(payload, opcode) == Frame(theirs, payload).serialize(mask=False)


@given(PARTS)
def test_a_wire_is_its_packets_in_order(parts: list[bytes | memoryview]):
    wire = Wire(*parts)
    expected = [
        Frame(Opcode.BINARY if isinstance(part, memoryview) else Opcode.TEXT, bytes(part)).serialize(
            mask=False
        )
        for part in parts
    ]
    assert wire.frames == b"".join(expected)
    assert wire.size == sum(len(bytes(part)) for part in parts)
    assert wire.frames is wire.frames  # made once, for all recipients


@given(PARTS.filter(len))
def test_a_polling_body_is_read_by_python_engineio(parts: list[bytes | memoryview]):
    read = Payload(encoded_payload=Wire(*parts).payload.decode()).packets
    assert len(read) == len(parts)
    for packet, part in zip(read, parts, strict=True):
        if isinstance(part, memoryview):
            assert packet.binary
            assert packet.data == bytes(part)
        else:
            assert packet.encode() == part.decode()


@given(st.lists(PARTS, max_size=4))
def test_joined_wires_are_one_after_the_other(many: list[list[bytes | memoryview]]):
    wires = [Wire(*parts) for parts in many]
    joined = Wire.joined(wires)
    assert joined.frames == b"".join(wire.frames for wire in wires)
    assert joined.payload == b"\x1e".join(wire.payload for wire in wires if wire.parts)
    assert joined.size == sum(wire.size for wire in wires)


def test_an_event_begins_with_its_namespace():
    assert event_head("/") == b"42"
    assert event_head("/users/Zoë") == "42/users/Zoë,".encode()
