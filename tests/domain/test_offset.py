"""Offsets: order, and reading what clients send back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.domain import offset as offset_module
from notify.domain.offset import Offset

NUMBERS = st.integers(0, 10**15 - 1)
OFFSETS = st.builds(Offset, st.sampled_from(["0a1b2c3d", "E2"]), NUMBERS, NUMBERS)


@given(OFFSETS)
def test_an_offset_comes_back_as_it_went(offset: Offset):
    assert Offset.parse(str(offset)) == offset
    assert str(offset).endswith(offset.entry)


@given(OFFSETS)
def test_the_head_of_a_message_is_read_alike(offset: Offset):
    for _ in range(2):  # the second time its epoch is known
        assert Offset.read(str(offset).encode()) == offset


@given(st.text(alphabet="0e-+_ \n\u0663", max_size=40), st.sampled_from(["e-1-1", "E2-5-0"]))
def test_what_is_read_is_what_is_parsed(text: str, known: str):
    Offset.read(known.encode())
    for tried in (text, f"e-{text}", f"E2-{text}-1", f"e-1-{text}"):
        expected = Offset.parse(tried)
        if expected is None:
            with pytest.raises(ValueError):
                Offset.read(tried.encode())
        else:
            assert Offset.read(tried.encode()) == expected


def test_many_epochs_are_not_kept():
    for number in range(1_000):
        assert Offset.read(f"e{number}-1-1".encode()).epoch == f"e{number}"
    assert len(offset_module._epochs) < 100


@given(OFFSETS, OFFSETS)
def test_of_two_in_one_epoch_one_follows_the_other(one: Offset, two: Offset):
    if one.epoch != two.epoch:
        assert not one.follows(two)
        assert not two.follows(one)
    else:
        assert [one.follows(two), two.follows(one), one == two].count(True) == 1


def test_numbers_are_compared_as_numbers():
    assert Offset("e", 10, 0).follows(Offset("e", 9, 99))
    assert Offset("e", 9, 10).follows(Offset("e", 9, 9))
    assert not Offset("e", 9, 9).follows(Offset("e", 9, 9))


@pytest.mark.parametrize(
    "text",
    [
        None,
        5,
        b"e-1-1",
        ["e-1-1"],
        {"e-1-1": 1},
        True,
        "",
        "hello",
        "e",
        "e-1",
        "e-1-",
        "e--1",
        "-1-1",
        "e-1-1-1",
        "e-1-1\n",
        " e-1-1",
        "e-1-+1",
        "e-1-1_0",
        "e-١-1",
        "e-1-²",
        "é-1-1",
        "a b-1-1",
        "e\x00-1-1",
        "e-" + "9" * 16 + "-1",
        "e-1-" + "9" * 4000,
        "e" * 33 + "-1-1",
        "e-18446744073709551616-0",
    ],
)
def test_what_is_not_an_offset(text: object):
    assert Offset.parse(text) is None


@given(st.one_of(st.text(), st.text(st.sampled_from("e19-١"))))
def test_whatever_is_read_is_an_offset_that_redis_takes(text: str):
    offset = Offset.parse(text)
    assert offset is None or (0 <= offset.ms < 2**53 and 0 <= offset.seq < 2**53)
