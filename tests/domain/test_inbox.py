"""Questions to an inbox: their validators and cursors."""

from __future__ import annotations

import pytest

from notify.domain.inbox import Query, cursor, parse_place


def test_the_same_question_has_the_same_validator_however_it_is_asked():
    one = Query("unread", categories=("b", "a", "b"))
    assert one.etag(5) == Query("unread", categories=("a", "b")).etag(5)


@pytest.mark.parametrize(
    "other",
    [
        Query("unseen"),
        Query(limit=19),
        Query(after=5),
        Query(categories=("a",)),
        Query(by_category=True),
    ],
)
def test_another_question_or_rev_has_another(other: Query):
    assert Query().etag(5) != other.etag(5)
    assert Query().etag(5) != Query().etag(6)
    assert other.rev_in([Query().etag(5)]) is None


@pytest.mark.parametrize(
    ("etags", "rev"),
    [
        ([], None),
        (["*"], "*"),
        (["*", "*"], None),
        (['"*"'], None),
        (['"5"'], None),
        ([Query().etag(1795650953811)], 1795650953811),
        ([Query().etag(7) + "x"], None),
        (['"x"', Query().etag(7), Query().etag(9), Query("read").etag(11)], 9),
    ],
)
def test_the_rev_is_read_back_from_etags(etags: list[str], rev: int | str | None):
    assert Query().rev_in(etags) == rev


@pytest.mark.parametrize("place", [1, 1795650953811, 999_999_999_999_999])
def test_a_place_makes_a_round_trip(place: int):
    text = cursor(place)
    assert text is not None
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "ntf_x", "1e9", " 1", "1234567890123456", "١"])
def test_what_is_no_place_is_none(text: str):
    assert parse_place(text) is None


def test_no_place_has_no_cursor():
    assert cursor(None) is None
