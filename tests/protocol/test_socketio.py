"""Reading Socket.IO packets from anyone."""

from __future__ import annotations

import json
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio import packet as sio_packet

from notify.protocol.fast_json import FastJson
from notify.protocol.socketio import (
    ACK,
    CONNECT,
    DISCONNECT,
    EVENT,
    RESERVED,
    BadPacket,
    Packet,
    Partial,
    Unreadable,
    decode,
)


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", Packet(CONNECT, "/", None, None)),
        ('0{"token":"123"}', Packet(CONNECT, "/", None, {"token": "123"})),
        ("0/custom", Packet(CONNECT, "/custom", None, None)),
        ("0/custom,", Packet(CONNECT, "/custom", None, None)),
        ('0/custom?a=b,{"x":1}', Packet(CONNECT, "/custom", None, {"x": 1})),
        ("1", Packet(DISCONNECT, "/", None, None)),
        ("1/admin,", Packet(DISCONNECT, "/admin", None, None)),
        ('2["message",1,"2",{"3":[true]}]', Packet(EVENT, "/", None, ["message", 1, "2", {"3": [True]}])),
        ('2456["x"]', Packet(EVENT, "/", 456, ["x"])),
        ('2/admin,456["x"]', Packet(EVENT, "/admin", 456, ["x"])),
        ("2[17]", Packet(EVENT, "/", None, [17])),
        ("3456[]", Packet(ACK, "/", 456, [])),
        ('3/a,0[{"ok":true}]', Packet(ACK, "/a", 0, [{"ok": True}])),
        ('50-["x"]', Packet(EVENT, "/", None, ["x"])),
    ],
)
def test_good_packets(text, packet):
    assert decode(text) == packet._replace(size=len(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "abc",
        "7",
        "٢[]",
        "0[]",
        '0"token"',
        "0null0",
        "1{}",
        "2",
        "2{}",
        "2[]",
        "2[true]",
        "2[null]",
        '2[["x"]]',
        '2abc["x"]',
        '2["x"',
        '2["x"]trailing',
        '2-1["x"]',
        '2["x", NaN]',
        "2" + "9" * 20 + '["x"]',
        "3[]",
        "31",
        "31{}",
        '4{"message":"I am a server"}',
        '5["x"]',
        '5a-["x"]',
        '5-["x"]',
        '511-["x"]',
        '5١-["x"]',
        "0/" + "n" * 5000,
    ],
)
def test_what_is_not_a_packet_is_told(text):
    with pytest.raises(BadPacket):
        decode(text)


def test_attachments_take_their_places():
    text = '52-/a,7["x",{"_placeholder":true,"num":1},{"deep":[{"_placeholder":true,"num":0}]},{"num":0}]'
    partial = decode(text)
    assert isinstance(partial, Partial)
    assert partial.namespace == "/a"
    assert partial.add(b"one") is None
    data = ["x", b"two", {"deep": [b"one"]}, {"num": 0}]
    assert partial.add(b"two") == Packet(EVENT, "/a", 7, data, len(text) + 6)


@pytest.mark.parametrize("number", ["1", "-1", '"0"', "true", "null", "0.5"])
def test_a_placeholder_for_nothing_is_told(number):
    partial = decode('51-["x",{"_placeholder":true,"num":' + number + "}]")
    assert isinstance(partial, Partial)
    with pytest.raises(BadPacket):
        partial.add(b"one")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
).filter(lambda value: not isinstance(value, dict) or "_placeholder" not in value)
names = st.text(min_size=1, max_size=20).filter(lambda name: name not in RESERVED)
namespaces = st.text(st.characters(exclude_characters=",?", exclude_categories=["Cs"]), max_size=20).map(
    lambda name: "/" + name
)


@given(namespaces, st.none() | st.integers(0, 10**18), names, st.lists(json_values, max_size=4))
def test_what_python_socketio_encodes_is_read(namespace, number, name, arguments):
    encoded = sio_packet.Packet(EVENT, [name, *arguments], namespace=namespace, id=number).encode()
    expected = Packet(EVENT, namespace, number, json.loads(json.dumps([name, *arguments])))
    assert decode(encoded) == expected._replace(size=len(encoded))


@given(
    st.text()
    | st.builds(lambda head, tail: head + tail, st.from_regex(r"[0-6]?[0-9\-]*(/[^,]*,)?"), st.text())
)
def test_any_text_is_a_packet_or_told_to_be_none(text):
    try:
        packet = decode(text)
    except (BadPacket, Unreadable):
        return
    assert isinstance(packet, Packet | Partial)


@pytest.mark.parametrize("value", ["\\ud83d", "\\udc00x", "a\\uD800\\uD800"])
def test_half_of_a_surrogate_pair_is_json(value):
    packet = decode('27["x","' + value + '",{"' + value + '":1}]')
    assert isinstance(packet, Packet)
    half = json.loads(f'"{value}"')
    assert packet.data == ["x", half, {half: 1}]


@pytest.mark.parametrize(
    ("text", "value"), [("1e999", inf), ("-1e999", -inf), ("9" * 30, 1e30), ("9" * 5000, inf), ("-0", 0)]
)
def test_numbers_of_any_size_are_json(text, value):
    packet = decode('2["x",' + text + "]")
    assert isinstance(packet, Packet)
    assert packet.data == ["x", value]


@pytest.mark.parametrize(
    "text", ['"\\ud83d', '"\\ud83"', '["\\ud83d",NaN]', '"\\ud83d" "x"', '"\\ud83d\x01"']
)
def test_what_looks_like_half_a_pair_and_is_not_json_is_told(text):
    with pytest.raises(BadPacket):
        decode('2["x",' + text + "]")


@pytest.mark.parametrize("deep", ["[" * 30_000 + "]" * 30_000, '{"a":' * 9_000 + "1" + "}" * 9_000])
def test_what_is_nested_too_deeply_is_told_apart_from_what_is_no_packet(deep):
    with pytest.raises(Unreadable) as told:
        decode('2/a,7["x",' + deep + "]")
    assert told.value.packet == Packet(EVENT, "/a", 7, None, len(deep) + 11)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_is_told_apart_from_what_is_no_packet(name):
    text = f'2/a,7["{name}",{{}}]'
    with pytest.raises(Unreadable, match="reserved") as told:
        decode(text)
    assert told.value.packet == Packet(EVENT, "/a", 7, None, len(text))


@pytest.mark.parametrize(
    "text",
    [
        '51-/a,7["disconnect",{"_placeholder":true,"num":0}]',
        '51-/a,7["x",{"_placeholder":true,"num":0},' + "[" * 30_000 + "]" * 30_000 + "]",
    ],
)
def test_what_cannot_be_handed_on_is_told_once_its_attachments_are_here(text):
    partial = decode(text)
    assert isinstance(partial, Partial)
    with pytest.raises(Unreadable) as told:
        partial.add(b"one")
    assert told.value.packet == Packet(EVENT, "/a", 7, None, len(text) + 3)


def test_attachments_too_deep_to_be_placed_are_told_so():
    partial = decode('51-7["x",' + "[" * 1000 + '{"_placeholder":true,"num":0}' + "]" * 1000 + "]")
    assert isinstance(partial, Partial)
    with pytest.raises(Unreadable):
        partial.add(b"one")


def test_json_that_orjson_does_not_write_is_written_all_the_same():
    for value in (2**70, "half a pair \ud83d", {1: "x"}, ["ä", None]):
        assert json.loads(FastJson.dumps(value)) == json.loads(json.dumps(value))
