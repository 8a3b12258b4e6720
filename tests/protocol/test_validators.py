from __future__ import annotations

import pytest

from notify.protocol.validators import has_it


@pytest.mark.parametrize(
    ("header", "etag", "found"),
    [
        ("*", '"a"', True),
        (" * ", '"a"', True),
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b" , W/"a"', '"a"', True),
        (None, '"a"', False),
        ("", '"a"', False),
        ('"b"', '"a"', False),
        ('"*"', '"a"', False),
        ('"b", *', '"a"', False),
        ("a", '"a"', False),
        ('"b",, "a",', '"a"', True),
        ('"a,b"', '"a,b"', True),
        ('"a"x', '"a"', False),
        ('x"a"', '"a"', False),
        ('"a" "b"', '"a"', False),
        ('"a", "b', '"a"', False),
        ('w/"a"', '"a"', False),
        ('W/ "a"', '"a"', False),
    ],
)
def test_who_has_an_answer_says_so_in_if_none_match(header: str | None, etag: str, found: bool):
    assert has_it(header, etag) is found
