"""FrameReader against another implementation: what `websockets` writes, and its verdict on broken streams."""

from __future__ import annotations

import logging
from codecs import getincrementaldecoder
from collections.abc import Sequence
from itertools import pairwise

from aiohttp._websocket.helpers import websocket_mask
from hypothesis import event, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from notify.protocol.websocket import Close, Event, Failure, FrameReader, Ping
from tests.gateway.client_frames import client_frame

LIMIT = 300
"""Small, so that generated streams reach it."""

quiet = logging.getLogger("tests.oracle")
quiet.disabled = True


class Oracle:
    """`websockets`' server, its frames put together to our events.

    Its protocol leaves UTF-8 to the layer above, so that is added, a whole frame at a time. It counts control
    frames between fragments towards the size of the message, so it is given the limit for frames only.
    """

    def __init__(self) -> None:
        self.protocol = ServerProtocol(state=OPEN, max_size=(None, LIMIT), logger=quiet)
        self.events: list[Event] = []
        self.parts: list[bytes] = []
        self.text = False
        self.decoder = getincrementaldecoder("utf-8")()
        self.over = False

    def feed(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            if not self.over:
                assert isinstance(frame, Frame)
                self.take(frame)
        failed = self.protocol.parser_exc
        if failed is not None and not self.over:
            assert self.protocol.close_sent is not None
            self.end(Failure(self.protocol.close_sent.code, ""))

    def take(self, frame: Frame) -> None:
        data = bytes(frame.data)
        if frame.opcode is Opcode.PING:
            self.events.append(Ping(data))
        elif frame.opcode is Opcode.CLOSE:
            assert self.protocol.close_rcvd is not None
            self.end(Close(self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason))
        elif frame.opcode is not Opcode.PONG:
            if frame.opcode is not Opcode.CONT:
                self.text, self.parts = frame.opcode is Opcode.TEXT, []
                self.decoder.reset()
            self.parts.append(data)
            if sum(map(len, self.parts)) > LIMIT:
                self.end(Failure(1009, ""))
                return
            if self.text:
                try:
                    self.decoder.decode(data, frame.fin)
                except UnicodeDecodeError:
                    self.end(Failure(1007, ""))
                    return
            if frame.fin:
                whole = b"".join(self.parts)
                self.events.append(whole.decode() if self.text else whole)

    def end(self, last: Event) -> None:
        self.events.append(last)
        self.over = True


def ours(stream: bytes, cuts: Sequence[int], limit: int) -> tuple[list[Event], FrameReader]:
    reader = FrameReader(max_message_bytes=limit, unmask=websocket_mask)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    return [event for piece in pieces for event in reader.feed(piece)], reader


# What is right is read right

near_the_forms = st.sampled_from([0, 1, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537])
words = (
    st.text()
    | near_the_forms.map(lambda size: "x" * size)
    | near_the_forms.map(lambda size: "é😀" * (size // 6))
)
blobs = st.binary() | near_the_forms.map(lambda size: bytes(i * 7 & 0xFF for i in range(size)))
controls = st.lists(
    st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)), max_size=2
)
messages = st.tuples(words | blobs, st.lists(st.integers(0, 1 << 17), max_size=4), controls)
closes = st.none() | st.tuples(st.sampled_from([1000, 1001, 1008, 3000, 4999]), st.text(max_size=30))


@settings(max_examples=250, deadline=None)
@given(st.lists(messages, max_size=6), closes, st.lists(st.integers(0, 1 << 20), max_size=40), st.booleans())
def test_what_websockets_writes_is_read_the_same(
    sent: list[tuple[str | bytes, list[int], list[tuple[Opcode, bytes]]]],
    closing: tuple[int, str] | None,
    cuts: list[int],
    every_byte: bool,
) -> None:
    stream, expected = b"", list[Event]()
    for message, splits, between in sent:
        payload = message.encode() if isinstance(message, str) else message
        edges = [0, *sorted(split % (len(payload) + 1) for split in splits), len(payload)]
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        for i, (a, b) in enumerate(pairwise(edges)):
            last = i == len(edges) - 2
            stream += Frame(Opcode.CONT if i else opcode, payload[a:b], fin=last).serialize(mask=True)
            if not last:
                for control, data in between:
                    stream += Frame(control, data).serialize(mask=True)
                    if control is Opcode.PING:
                        expected.append(Ping(data))
        expected.append(message)
    if closing is not None:
        code, reason = closing
        reason = reason.encode()[:123].decode(errors="ignore")
        stream += Frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode()).serialize(mask=True)
        expected.append(Close(code, reason))
    if every_byte and len(stream) < 5000:
        cuts = list(range(len(stream)))
    events, reader = ours(stream, cuts, 1 << 20)
    assert events == expected
    assert reader.idle


# What is wrong is refused the same


def seldom(usual: object, rare: Sequence[object]) -> st.SearchStrategy[object]:
    return st.integers(0, 19).map(lambda at: rare[at % len(rare)] if at < 2 else usual)


frames = st.builds(
    lambda opcode, payload, final, reserved, masked, width, lie: client_frame(
        opcode,
        payload,
        final=final,
        reserved=reserved,
        mask=b"\x11\x22\x33\x44" if masked else None,
        width=width,
        length=None if lie is None or (width or 0) < 2 else lie,
    ),
    opcode=st.sampled_from([0, 0, 0, 1, 1, 1, 2, 2, 9, 10, 8, 3, 11, 15]),
    payload=st.text(max_size=60).map(str.encode)
    | st.binary(max_size=140)
    | st.sampled_from(
        [b"\xce", b"\xba", b"\xf4\x90", b"\xed\xa0\x80", b"\x03\xe8ok", b"\x03\xe8\xff", b"\x03", b"\x03\xed"]
    )
    | st.integers(120, 310).map(lambda size: b"y" * size),
    final=st.booleans(),
    reserved=seldom(0, range(1, 8)),
    masked=seldom(True, [False]),
    width=seldom(None, [2, 8]),
    lie=st.none() | st.sampled_from([0, 125, 126, 300, 301]),
).filter(bool)
mutations = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3)

# Where we differ on purpose: our reason, and what the oracle may say instead (None: anything).
DIFFERENT: dict[str, set[int] | None] = {
    # RFC 6455 section 5.2: "the minimal number of bytes MUST be used"; the oracle does not look at it.
    "the length is not in its shortest form": None,
    # The same, since only a length in a long form can make a control frame too long.
    "a control frame is too long": None,
    # Section 5.2: the most significant bit MUST be 0; the oracle compares with the limit first.
    "the length is out of range": {1009},
    # The oracle compares with the limit before it looks at the bits and at what the frame continues.
    "reserved bits are set": {1009},
    "there is nothing to continue": {1009},
    "a message begins inside another": {1009},
    "a control frame is fragmented": {1009},
    # Two faults in one close frame: the oracle reads the reason first.
    "the close code is not valid": {1007},
}


@settings(max_examples=600, deadline=None)
@given(
    st.lists(frames, min_size=1, max_size=8),
    mutations,
    st.lists(st.integers(0, 4000), max_size=12),
    st.integers(0, 40),
)
def test_broken_streams_get_the_verdict_of_websockets(
    sent: list[bytes], changes: list[tuple[int, int]], cuts: list[int], cut_off: int
) -> None:
    broken = bytearray(b"".join(sent))
    for at, value in changes:
        broken[at % len(broken)] = value
    stream = bytes(broken[: max(1, len(broken) - cut_off)])
    events, _ = ours(stream, cuts, LIMIT)
    assert events == ours(stream, range(len(stream)), LIMIT)[0], "how a stream is cut must not matter"

    oracle = Oracle()
    oracle.feed(stream)
    theirs = oracle.events
    last = events[-1] if events else None
    if isinstance(last, Failure):
        # We judge a frame by its header, the oracle when it is complete: complete it.
        for _ in range(LIMIT + 20):
            if oracle.over:
                break
            oracle.feed(b"\x00")
        before, verdict = theirs[: len(events) - 1], theirs[len(events) - 1 :][:1]
        assert before == events[:-1]
        other = verdict[0] if verdict else None
        if isinstance(other, Failure) and other.code == last.code:
            event("the same failure")
            return
        event(f"known difference: {last.reason}")
        allowed = DIFFERENT.get(last.reason, set())
        assert allowed is None or (isinstance(other, Failure) and other.code in allowed), (last, other)
    elif isinstance(last, Close) and isinstance(theirs[-1], Failure):
        # Section 5.4 lets a control frame stand between fragments; the oracle fails a close there.
        event("known difference: close between fragments")
        assert theirs == [*events[:-1], Failure(1002, "")]
    else:
        event("the same events")
        assert theirs == events
