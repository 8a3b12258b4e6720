"""JSON as RFC 8259 has it, on orjson as far as that goes.

orjson refuses what JavaScript writes and reads: half of a surrogate pair, and numbers past the range of a
double. The standard library takes over then.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

_INT_DIGITS = 18
"""Integers of more digits become floats, as in JavaScript; Python refuses to read very long ones."""


class TooDeep(ValueError):
    """Nested more deeply than can be read, which RFC 8259 section 9 allows: it may be JSON all the same."""


class FastJson:
    """`json` in the shape that python-socketio's packet classes call."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Compact JSON. Raises TypeError, ValueError or RecursionError for what has no JSON."""
        try:
            return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            return json.dumps(value, separators=(",", ":"))

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Raises ValueError for what is not JSON, and `TooDeep`, which is one."""
        try:
            return orjson.loads(text)
        except ValueError:
            pass
        try:
            return json.loads(text, parse_int=_int, parse_constant=_refuse)
        except RecursionError:
            raise TooDeep("nested too deeply") from None


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
