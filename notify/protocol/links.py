"""What nodes say to each other about sessions, one binary websocket message each.

A node is called about a session that it has, and answers under the number of the call. A message is its kind
(one byte), the number (four), the length of its text (one), the text and a body.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

PATH = "/cluster/link"
VERSION, FORMER = "notify-link-2", "notify-link-1"
"""The websocket subprotocols, best first: nodes that have none in common make no link. The former one knows
the kinds up to `REFUSAL` only: sessions are passed on by it, and do not move.
"""
NO_CALL = 0
"""The number of what is said about a session, and no call. Those of calls begin with 1."""
MAX_NUMBER = (1 << 32) - 1
MAX_TEXT = 255
_HEAD = Struct("!BIB")
OVERHEAD = _HEAD.size + MAX_TEXT
"""Bytes that a message may have beside its body."""


class Kind(IntEnum):
    """What a message is. The text is the session's id, but for `ANSWER` and `REFUSAL`."""

    POLL = 1
    """A GET waits for packets."""
    POST = 2
    """A POST; the body is what was posted."""
    BAD_POST = 3
    """A POST whose body could not be read, or is of a kind that the protocol does not have."""
    GONE = 4
    """Whoever called has gone without the answer, which may have been given already."""
    RELEASE = 5
    """The GET is to be answered now, with the packets that there are or with none."""
    ANSWER = 6
    """The call has succeeded; the body is what was asked for, such as the answer to a GET."""
    REFUSAL = 7
    """The call is refused; the text is `<code> <status>`, and the body the message."""
    MAY_MOVE = 8
    """A call: a websocket that has come to the calling node wants to take over from long-polling."""
    PROBE = 9
    """A call: that websocket is there, and may be told to go ahead once polls do not wait any more."""
    DESCRIBE = 10
    """A call: the websocket is to take over; the answer is a description of the session."""
    CUT = 11
    """A call: make a cut, as the body says, behind which the calling node delivers to the session."""
    TAKE = 12
    """A call: hand the session over, which has been cut; the answer is what goes with it."""
    STAYS = 13
    """The websocket has failed: long-polling goes on."""


class Message(NamedTuple):
    """One message."""

    kind: Kind
    number: int
    text: str = ""
    body: bytes = b""

    def encode(self) -> bytes:
        """As it is sent. Raises ValueError for a text of more than 255 bytes."""
        text = self.text.encode()
        if len(text) > MAX_TEXT:
            raise ValueError("the text of a message is too long")
        return _HEAD.pack(self.kind, self.number, len(text)) + text + self.body


def decode(data: bytes) -> Message:
    """What was sent. Raises ValueError for anything else."""
    if len(data) < _HEAD.size:
        raise ValueError("not a message of a link")
    kind, number, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    if len(data) < end:
        raise ValueError("not a message of a link")
    return Message(Kind(kind), number, data[_HEAD.size : end].decode(), data[end:])
