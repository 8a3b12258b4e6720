"""FrameReader against the rules of RFC 6455, case by case after the Autobahn test suite's numbering."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterable

import pytest
from aiohttp._websocket.helpers import websocket_mask

from notify.protocol.websocket import (
    FRAMES_A_FEED,
    Close,
    Event,
    Failure,
    FrameReader,
    Ping,
    close_payload,
)
from tests.gateway.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    chops,
    client_frame,
    close,
    fragments,
    text,
)

LIMIT = 1 << 20
CUTS = pytest.mark.parametrize("cut", [0, 1, 2, 7, 997], ids=lambda size: f"cut{size}" if size else "whole")


def read(stream: bytes | Iterable[bytes], cut: int = 0, *, limit: int = LIMIT) -> list[Event]:
    """The events of a stream that comes in pieces of `cut` bytes, or all at once."""
    stream = stream if isinstance(stream, bytes) else b"".join(stream)
    reader = FrameReader(max_message_bytes=limit, unmask=websocket_mask)
    return [event for piece in chops(stream, cut or len(stream)) for event in all_of(reader, piece)]


def all_of(reader: FrameReader, piece: bytes) -> list[Event]:
    """The events of a piece, fed for as long as the reader has had enough for one time."""
    events = list(reader.feed(piece))
    while reader.pending:
        events += reader.feed(b"")
    return events


def codes(events: Iterable[Event]) -> list[int]:
    return [event.code for event in events if isinstance(event, Failure)]


# 1 Framing, 9 Limits, 10 Miscellaneous


@CUTS
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65535, 65536, 65537])
def test_1_messages_of_every_form_of_length(size: int, cut: int) -> None:
    words = "*" * (size & 1) + "ñ" * (size // 2)
    payload = bytes(i & 0xFF for i in range(size))
    assert read(text(words) + client_frame(BINARY, payload), cut) == [words, payload]


@CUTS
def test_many_messages_in_one_packet_come_in_order(cut: int) -> None:
    assert read((text(str(i)) for i in range(500)), cut) == [str(i) for i in range(500)]


def test_one_feed_reads_a_bounded_number_of_frames() -> None:
    reader = FrameReader(max_message_bytes=LIMIT, unmask=websocket_mask)
    stream = client_frame(PING) * 1000 + text("last")
    taken = [len(reader.feed(stream))]
    while reader.pending:
        taken.append(len(reader.feed(b"")))
    assert max(taken) == FRAMES_A_FEED
    assert sum(taken) == reader.frames == 1001
    assert reader.idle


@CUTS
def test_what_is_held_while_frames_are_pending_comes_behind_them(cut: int) -> None:
    reader = FrameReader(max_message_bytes=LIMIT, unmask=websocket_mask)
    events = list(reader.feed(b"".join(text(str(i)) for i in range(200))))
    for piece in chops(text("behind"), cut or 100):
        reader.hold(piece)
    while reader.pending:
        events += reader.feed(b"")
    assert events == [*map(str, range(200)), "behind"]


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\x01\x7f\xfe"])
def test_1_any_mask(mask: bytes) -> None:
    words = "Grüße 😀 " * 40
    assert read(client_frame(TEXT, words.encode(), mask=mask)) == [words]
    assert read(client_frame(TEXT, b"short", mask=mask)) == ["short"]


@pytest.mark.parametrize(("size", "width"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)])
def test_a_length_not_in_its_shortest_form_is_refused(size: int, width: int) -> None:
    head = client_frame(BINARY, length=size, width=width, mask=None)
    stream = bytes((head[0], head[1] | 0x80)) + head[2:]
    assert codes(read(stream)) == [1002], "from the header alone"
    assert codes(read(stream, 1)) == [1002]


def test_a_length_with_the_top_bit_set_is_refused() -> None:
    assert codes(read(b"\x82\xff" + (1 << 63).to_bytes(8, "big"))) == [1002]


@CUTS
def test_9_a_message_at_the_limit_and_one_past_it(cut: int) -> None:
    assert read(text("x" * 1000), cut, limit=1000) == ["x" * 1000]
    assert codes(read(text("x" * 1001), cut, limit=1000)) == [1009]
    assert codes(read(text("x" * 11), cut, limit=10)) == [1009]
    assert read(fragments(BINARY, b"x" * 400, b"x" * 600), cut, limit=1000) == [b"x" * 1000]
    assert codes(read(fragments(BINARY, b"x" * 400, b"x" * 601), cut, limit=1000)) == [1009]


def test_9_a_size_over_the_limit_is_refused_before_the_payload_comes() -> None:
    reader = FrameReader(max_message_bytes=1000, unmask=websocket_mask)
    assert reader.feed(b"\x81\xfe\x03") == []
    assert codes(reader.feed(b"\xe9")) == [1009]
    reader = FrameReader(max_message_bytes=1000, unmask=websocket_mask)
    reader.feed(client_frame(TEXT, b"x" * 999, final=False))
    assert codes(reader.feed(b"\x80\x82")) == [1009], "the mask has not come yet"


def test_9_a_large_message_byte_by_byte_costs_the_same_for_every_byte() -> None:
    def cost(size: int) -> float:
        stream = list(chops(client_frame(TEXT, b"x" * size), 1))
        best = 60.0
        for _ in range(3):
            reader = FrameReader(max_message_bytes=LIMIT, unmask=websocket_mask)
            begin = time.process_time()
            events = [event for piece in stream for event in reader.feed(piece)]
            best = min(best, time.process_time() - begin)
            assert events == ["x" * size]
        return best

    # Sixteen times the bytes: quadratic would be 256 times the time.
    assert cost(160_000) < 60 * cost(10_000)


@pytest.mark.parametrize("size", [64, 256, 1300, 65536])
def test_9_and_10_a_large_message_in_fragments(size: int) -> None:
    words = "Hello-µ@ßöäüàá-UTF-8!!" * 12000
    assert read(fragments(TEXT, *chops(words.encode(), size)), 1460) == [words]


# 2 Pings and pongs


@CUTS
@pytest.mark.parametrize(
    "payload", [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125]
)
def test_2_a_ping_is_reported_with_its_payload(payload: bytes, cut: int) -> None:
    assert read(client_frame(PING, payload), cut) == [Ping(payload)]


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("size", [126, 65536])
def test_2_a_control_frame_over_125_bytes_is_refused_from_its_header(opcode: int, size: int) -> None:
    assert codes(read(client_frame(opcode, b"\x00" * size)[:2])) == [1002]


@CUTS
def test_2_pongs_nobody_asked_for_are_ignored(cut: int) -> None:
    assert read(client_frame(PONG) + client_frame(PONG, b"x") + client_frame(PING, b"p"), cut) == [Ping(b"p")]


@CUTS
def test_2_ten_pings_in_order(cut: int) -> None:
    assert read((client_frame(PING, b"%d" % i) for i in range(10)), cut) == [
        Ping(b"%d" % i) for i in range(10)
    ]


# 3 Reserved bits, 4 opcodes, masks


@CUTS
@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE])
@pytest.mark.parametrize("reserved", range(1, 8))
def test_3_reserved_bits_are_refused(reserved: int, opcode: int, cut: int) -> None:
    events = read(text("before") + client_frame(opcode, b"", reserved=reserved) + text("after"), cut)
    assert len(events) == 2
    assert [events[0], *codes(events)] == ["before", 1002]


@CUTS
@pytest.mark.parametrize("payload", [b"", b"payload"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_4_unknown_opcodes_are_refused(opcode: int, payload: bytes, cut: int) -> None:
    events = read(text("before") + client_frame(opcode, payload) + client_frame(PING), cut)
    assert len(events) == 2
    assert [events[0], *codes(events)] == ["before", 1002]


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
@pytest.mark.parametrize("payload", [b"", b"0123456789"])
def test_a_frame_without_a_mask_is_refused(opcode: int, payload: bytes) -> None:
    assert codes(read(client_frame(opcode, payload, mask=None))) == [1002]


# 5 Fragmentation


@CUTS
@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_5_control_frames_cannot_be_fragmented(opcode: int, cut: int) -> None:
    assert codes(read(fragments(opcode, b"frag", b"ment"), cut)) == [1002]


@CUTS
def test_5_a_message_in_fragments(cut: int) -> None:
    assert read(fragments(TEXT, b"fragment1", b"fragment2"), cut) == ["fragment1fragment2"]
    assert read(fragments(BINARY, b"\xff", b"", b"\xfe"), cut) == [b"\xff\xfe"]


@CUTS
def test_5_control_frames_come_between_fragments_and_are_reported_first(cut: int) -> None:
    first, second, third = fragments(TEXT, b"one ", b"two ", b"three")
    stream = first + client_frame(PING, b"1") + second + client_frame(PONG) + client_frame(PING, b"2") + third
    assert read(stream, cut) == [Ping(b"1"), Ping(b"2"), "one two three"]


@CUTS
@pytest.mark.parametrize("final", [True, False])
def test_5_nothing_to_continue(final: bool, cut: int) -> None:
    stray = client_frame(CONTINUATION, b"non-continuation payload", final=final)
    assert codes(read(stray + text("Hello"), cut)) == [1002]
    events = read(b"".join(fragments(TEXT, b"a", b"b")) + stray, cut)
    assert [events[0], *codes(events)] == ["ab", 1002]


@CUTS
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_5_a_message_inside_another_is_refused(opcode: int, cut: int) -> None:
    stream = client_frame(TEXT, b"fragment1", final=False) + client_frame(opcode, b"fragment2")
    assert codes(read(stream, cut)) == [1002]


# 6 UTF-8


@CUTS
def test_6_empty_fragments(cut: int) -> None:
    assert read(fragments(TEXT, b"", b"", b""), cut) == [""]
    assert read(fragments(TEXT, b"", b"middle", b""), cut) == ["middle"]


GREEK = "κόσμε"
GOOD = [
    *("Hello-µ@ßöäüàá-UTF-8!!", GREEK, "\x00", "\x7f", "\x80", "\u07ff", "\u0800", "\uffff", "\U00010000"),
    *(
        "\ud7ff",
        "\ue000",
        "\ufffd",
        "\U0010ffff",
        "\ufeff",
        "\ufffe",
        "\U0001fffe",
        "\U0003ffff",
        "\U000ffffe",
    ),
]
BAD = [
    *(
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc0",
        b"\xc1\xbf",
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
    ),  # 6.12, 6.14
    *(
        b"\xce",
        b"\xce\xba\xe1",
        b"\xce\xba\xe1\xbd",
        b"\xc2 ",
        b"\xe0\xa0 ",
        b"\xf0\x90\x80 ",
    ),  # 6.8, 6.13, 6.15
    *(
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x80\x80\x80\xaf",
        b"\xfc\x80\x80\x80\x80\xaf",
    ),  # 6.18
    *(
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x87\xbf\xbf\xbf",
        b"\xc0\x80",
        b"\xe0\x80\x80",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ),  # 6.20, 6.21
    *(
        b"\xf4\x90\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
    ),  # 6.9, 6.11
]


@CUTS
@pytest.mark.parametrize("words", GOOD, ids=ascii)
def test_6_good_utf8_also_when_a_fragment_ends_inside_a_character(words: str, cut: int) -> None:
    raw = words.encode()
    assert read(text(words), cut) == [words]
    for at in range(len(raw) + 1):
        assert read(fragments(TEXT, raw[:at], raw[at:]), cut) == [words]
    assert read(fragments(TEXT, *chops(raw, 1)), cut) == [words]


@CUTS
@pytest.mark.parametrize("raw", BAD, ids=bytes.hex)
def test_6_bad_utf8_is_refused(raw: bytes, cut: int) -> None:
    whole = GREEK.encode() + raw
    assert codes(read(client_frame(TEXT, raw), cut)) == [1007]
    assert codes(read(client_frame(TEXT, raw + b"edited" * 30), cut)) == [1007]
    assert codes(read(client_frame(TEXT, whole), cut)) == [1007]
    assert codes(read(fragments(TEXT, *chops(whole, 1)), cut)) == [1007]
    assert read(client_frame(BINARY, raw), cut) == [raw], "binary is binary"


@pytest.mark.parametrize("whole_frame", [False, True], ids=["6.4.1 by fragments", "6.4.3 within one frame"])
@pytest.mark.parametrize(
    ("bad", "at"), [(b"\xf4\x90\x80\x80", 2), (b"\xed\xa0\x80", 3), (b"\xc0\x80", 1), (b"\xe1\x80e", 3)]
)
def test_6_4_bad_utf8_is_refused_with_the_byte_that_makes_it_bad(
    bad: bytes, at: int, whole_frame: bool
) -> None:
    raw = GREEK.encode() + bad + b"edited"
    if whole_frame:
        frame = client_frame(TEXT, raw)
        packets = [frame[:6], *chops(frame[6:], 1)]
    else:
        packets = [client_frame(TEXT, b"", final=False)]
        packets += [client_frame(CONTINUATION, byte, final=False) for byte in chops(raw, 1)]
    reader = FrameReader(max_message_bytes=LIMIT, unmask=websocket_mask)
    answers = [codes(reader.feed(packet)) for packet in packets]
    assert answers.index([1007]) == len(GREEK.encode()) + at


# 7 Closing


@CUTS
def test_7_close_with_and_without_code_and_reason(cut: int) -> None:
    assert read(close(None), cut) == [Close(1005, "")]
    assert read(close(1000), cut) == [Close(1000, "")]
    assert read(close(1000, b"Hello World!"), cut) == [Close(1000, "Hello World!")]
    assert read(close(1000, b"*" * 123), cut) == [Close(1000, "*" * 123)]
    assert codes(read(close(1000, b"*" * 124), cut)) == [1002]


@CUTS
@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_7_7_codes_that_may_be_sent(code: int, cut: int) -> None:
    assert read(close(code), cut) == [Close(code, "")]
    assert close_payload(code) == code.to_bytes(2, "big")


@CUTS
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_7_9_codes_that_may_not(code: int, cut: int) -> None:
    assert codes(read(close(code), cut)) == [1002]


@CUTS
def test_7_3_2_a_close_of_one_byte_and_7_5_1_a_bad_reason(cut: int) -> None:
    assert codes(read(client_frame(CLOSE, b"\x03"), cut)) == [1002]
    assert codes(read(close(1000, b"\xce\xba\xed\xa0\x80"), cut)) == [1007]


@CUTS
@pytest.mark.parametrize(
    "after",
    [close(1001), client_frame(PING), text("late"), client_frame(CONTINUATION, b"rest"), b"\xff" * 99],
)
def test_7_1_what_follows_a_close_is_ignored(after: bytes, cut: int) -> None:
    assert read(text("in time") + close(1000) + after, cut) == ["in time", Close(1000, "")]
    assert read(client_frame(TEXT, b"some", final=False) + close(1000) + after, cut) == [Close(1000, "")]


def test_a_close_frame_of_ours_is_valid_whatever_the_reason() -> None:
    assert close_payload(1005) == b""
    assert len(close_payload(1000, "ü" * 200)) == 124, "cut between characters"
    assert close_payload(1000, "\ud800") == b"\x03\xe8?"
    for code in (999, 1004, 1006, 1015, 2999, 5000):
        with pytest.raises(ValueError, match="close code"):
            close_payload(code)


# Memory


def test_an_idle_reader_holds_nothing_of_what_went_through_it() -> None:
    reader = FrameReader(max_message_bytes=LIMIT, unmask=websocket_mask)
    for piece in chops(text("x" * 70000) + b"".join(fragments(TEXT, b"a", b"b")) + client_frame(PING), 100):
        reader.feed(piece)
    assert reader.idle
    assert sys.getsizeof(reader) <= 88
    assert not hasattr(reader, "__dict__")


def test_a_failed_reader_drops_what_it_had_and_stays_silent() -> None:
    reader = FrameReader(max_message_bytes=LIMIT, unmask=websocket_mask)
    reader.feed(client_frame(BINARY, b"x" * 50000, final=False))
    assert not reader.idle
    assert [codes(reader.feed(stream)) for stream in (client_frame(TEXT), text("more"))] == [[1002], []]
    assert reader._message is None


def test_a_header_that_announces_much_makes_nothing_be_allocated() -> None:
    tracemalloc.start()
    reader = FrameReader(max_message_bytes=1 << 40, unmask=websocket_mask)
    reader.feed(client_frame(BINARY, b"x", length=1 << 39))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
