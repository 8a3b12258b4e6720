"""The form of a published message, in this version and the one before."""

from __future__ import annotations

import json

import pytest

from notify.backplane.delivery import Delivery, EventVariant
from notify.domain.message import Message, tail
from notify.domain.offset import Offset

OFFSET = "abc-1795650953811-3"
ARRAY = f'["notification",{{"id":"x"}},"{OFFSET}"]'.encode()


def published(head: bytes, array: bytes = ARRAY) -> bytes:
    return OFFSET.encode() + b" " + head + b"\n" + array


def as_version_1_reads_it(payload: bytes) -> tuple[Offset | None, bytes, bytes, frozenset[str], bytes]:
    """What the release before this form made of a message."""
    head, separator, array = payload.partition(b"\n")
    raw_offset, flags, *rest = head.split(b" ", 3)
    if not separator or not rest or not array.endswith(b',"' + raw_offset + b'"]'):
        raise ValueError("not a published message")
    left_out = frozenset(json.loads(rest[1])) if len(rest) > 1 else frozenset()
    return Offset.parse(raw_offset.decode()), flags, rest[0], left_out, array


def test_what_is_written_is_read():
    head = b"o 2;1795650953999;" + tail("ntf_1", "req-1", ["eve", "Zoë \n x"])
    message = Message(published(head[:-1]))
    assert message.offset == Offset("abc", 1795650953811, 3)
    assert message.overlaps
    assert (message.due_ms, message.notification_id, message.trace) == (1795650953999, "ntf_1", b"req-1")
    assert message.except_users == {"eve", "Zoë \n x"}
    assert (message.array, message.place) == (ARRAY, 0)


def test_what_is_no_notification_has_no_id():
    message = Message(published(b"- 2;0;" + tail(None, "")[:-1]))
    assert (message.notification_id, message.due_ms, message.trace) == (None, 0, b"-")
    assert not message.overlaps
    assert message.except_users == frozenset()


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("left_out", [(), ("eve",)])
def test_the_version_before_is_read(overlaps: bool, left_out: tuple[str, ...]):
    head = b"o req-1" if overlaps else b"- req-1"
    if left_out:
        head += b" " + json.dumps(left_out).encode()
    message = Message(published(head))
    assert (message.overlaps, message.except_users) == (overlaps, frozenset(left_out))
    assert (message.trace, message.notification_id, message.due_ms) == (b"req-1", None, 0)


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("left_out", [(), ("eve", "Zoë")])
def test_the_version_before_reads_this_one(overlaps: bool, left_out: tuple[str, ...]):
    flag = b"o" if overlaps else b"-"
    payload = published(flag + b" 2;0;" + tail("ntf_1", "req-1", left_out)[:-1])
    offset, flags, trace, users, array = as_version_1_reads_it(payload)
    assert (offset, flags == b"o", users, array) == (
        Message(payload).offset,
        overlaps,
        frozenset(left_out),
        ARRAY,
    )
    assert b" " not in trace


def test_a_trace_of_the_version_before_that_looks_like_this_one_is_a_trace():
    assert Message(published(b"- 2;x;y;z")).trace == b"2;x;y;z"
    assert Message(published(b"- 2;5")).trace == b"2;5"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"5",
        b"abc-1-2 -\n",
        published(b"-", b"[]"),
        published(b"- 2;0;-;-", b'["notification",{},"other"]'),
        b"offset - x\n" + b'["e",{},"offset"]',
    ],
)
def test_what_is_not_ours_is_refused(payload: bytes):
    with pytest.raises(ValueError, match="not "):
        Message(payload)


def test_the_place_is_read_from_the_end_of_the_array():
    inbox = '"inbox":{"rev":7,"place":5,"unseen":2,"unread":1}'
    spoof = '"data":{"inbox":{"rev":1,"place":9,"unseen":0,"unread":0}}'
    array = f'["notification",{{"id":"x",{spoof},{inbox}}},"{OFFSET}"]'.encode()
    assert Message(published(b"- 2;0;ntf_1;-", array)).place == 5
    array = f'["notification",{{"id":"x",{spoof}}},"{OFFSET}"]'.encode()
    assert Message(published(b"- 2;0;ntf_1;-", array)).place == 0


def test_a_delivery_may_leave_the_offset_out():
    delivery = Delivery(published(b"- 2;0;ntf_1;-"))
    with_offset = bytes(delivery.wire(EventVariant("/", True)).parts[0])
    assert with_offset.endswith(ARRAY)
    without = bytes(delivery.wire(EventVariant("/", False)).parts[0])
    assert without.endswith(b'["notification",{"id":"x"}]')
