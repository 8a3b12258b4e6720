"""What nodes say to each other about long-polling sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.protocol.links import MAX_TEXT, OVERHEAD, Kind, Message, decode

TEXTS = st.text(max_size=60)


@given(st.builds(Message, st.sampled_from(Kind), st.integers(0, 2**32 - 1), TEXTS, st.binary(max_size=300)))
def test_what_is_said_is_understood(message):
    encoded = message.encode()
    assert decode(encoded) == message
    assert len(encoded) <= OVERHEAD + len(message.body)


@pytest.mark.parametrize(
    "data", [b"", b"\x01\0\0\0", b"\x01\0\0\0\x01\x05abc", b"\x63\0\0\0\x01\0", b"\x01\0\0\0\x01\x01\xff"]
)
def test_anything_else_is_none_of_ours(data):
    with pytest.raises(ValueError):
        decode(data)


def test_a_text_has_a_bound():
    assert decode(Message(Kind.POLL, 1, "x" * MAX_TEXT).encode()).text == "x" * MAX_TEXT
    with pytest.raises(ValueError, match="too long"):
        Message(Kind.POLL, 1, "é" * MAX_TEXT).encode()
