"""The kinds of fields in what backends post, beyond those marshmallow has, and how their faults are worded.

A fault is the end of a sentence that the field's pointer begins: "must be 1 to 256 characters long".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from marshmallow import ValidationError, fields
from marshmallow.validate import Length, Validator

from notify.domain import moments

REQUIRED = "is required"
NULL = "must not be null"
NO_OBJECT = "must be an object"
UNKNOWN = "is not a known field"
WORDING: Mapping[str, str] = {"required": REQUIRED, "null": NULL}

MAX_URL = 2048
MAX_DEPTH = 64
"""Levels of objects and arrays in `data`, itself counted."""

_NO = r"\s\\\x00-\x20\x7f-\x9f"
_URL = re.compile(
    # http(s) with a host; a path from the root, but not `//host`; or a path whose first piece has no colon,
    # which would make it a scheme (RFC 3986 section 4.2); or a query or fragment alone. Browsers read `\` as
    # `/` and drop tabs and newlines, hence _NO.
    rf"(?:https?://[^/?#{_NO}][^{_NO}]*|/(?!/)[^{_NO}]*|[^/:?#{_NO}][^/:?#{_NO}]*(?:[/?#][^{_NO}]*)?|[?#][^{_NO}]*)",
    re.IGNORECASE,
)


def url_fault(value: str) -> str | None:
    """What is wrong with a link's target, if it is neither `http(s)://host...` nor a relative reference."""
    if len(value) <= MAX_URL and _URL.fullmatch(value):
        return None
    if not 1 <= len(value) <= MAX_URL:
        return f"must be 1 to {MAX_URL} characters long"
    return "must be an http:// or https:// URL or a relative path, without spaces or backslashes"


def too_deep(value: object, *, levels: int = MAX_DEPTH) -> bool:
    """True when objects and arrays in `value` are nested in more than `levels`. Takes no recursion."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    while level:
        if levels == 0:
            return True
        levels -= 1
        below: list[Any] = []
        for outer in level:
            inside = outer.values() if isinstance(outer, dict) else outer
            below += [inner for inner in inside if isinstance(inner, dict | list)]
        level = below
    return False


class Rule(Validator):
    """A function that finds the fault, as a validator."""

    def __init__(self, fault: Callable[[Any], str | None]) -> None:
        self.fault = fault

    def __call__(self, value: Any) -> Any:
        """The value, or ValidationError."""
        fault = self.fault(value)
        if fault is not None:
            raise ValidationError(fault)
        return value


class Sized(Rule):
    """A rule that bounds the length, too. apispec reads the bounds of a length off a validator like this."""

    equal = None

    def __init__(self, fault: Callable[[Any], str | None], least: int, most: int) -> None:
        super().__init__(fault)
        self.min = least
        self.max = most


class Between(Rule):
    """A number in bounds. apispec reads the bounds of a value off a validator without `equal`."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(lambda value: None if least <= value <= most else f"must be from {least} to {most}")
        self.min = least
        self.max = most


def length(most: int) -> Length:
    """At most so many characters."""
    return Length(0, most, error=f"must be at most {most} characters long")


def count(least: int, most: int, things: str) -> Length:
    """So many items."""
    return Length(least, most, error=f"must hold {least} to {most} {things}")


class Text(fields.String):
    """A string."""

    default_error_messages = {**WORDING, "invalid": "must be a string"}  # noqa: RUF012 - as marshmallow has it


class Listed(fields.List[Any]):
    """An array whose items are loaded, each fault under its index. Its length is judged before its items."""

    default_error_messages = {**WORDING, "invalid": "must be an array"}  # noqa: RUF012

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._validate(value)
        return super()._deserialize(value, attr, data, **kwargs)


class Unopened(fields.List[Any]):
    """An array whose items are not looked at yet: each is to be judged by itself."""

    default_error_messages = {**WORDING, "invalid": "must be an array"}  # noqa: RUF012

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        return value


class Whole(fields.Integer):
    """A whole number, written as one: neither 5.0 nor "5" nor true."""

    default_error_messages = {**WORDING, "invalid": "must be a whole number"}  # noqa: RUF012

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        return value


class Flag(fields.Boolean):
    """`true` or `false`, and no word or number that may mean one of them."""

    default_error_messages = {**WORDING, "invalid": "must be true or false"}  # noqa: RUF012

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid")
        return value


class Moment(fields.Field[int]):
    """A time by RFC 3339, loaded as unix milliseconds."""

    default_error_messages = {**WORDING, "invalid": moments.NOT_A_TIME}  # noqa: RUF012

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        unix_ms = moments.parsed(value)
        if unix_ms is None:
            raise self.make_error("invalid")
        return unix_ms


class OnlyTrue(fields.Field[Literal[True]]):
    """`true`, literally: any other value that some language takes for true may have meant something else."""

    default_error_messages = {**WORDING, "invalid": "must be true, or left out"}  # noqa: RUF012

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Literal[True]:
        if value is not True:
            raise self.make_error("invalid")
        return True


class Anything(fields.Dict):
    """A JSON object with whatever in it."""

    default_error_messages = {**WORDING, "invalid": NO_OBJECT}  # noqa: RUF012


class Inner(fields.Nested):
    """An object with a schema of its own."""

    default_error_messages = {**WORDING, "type": NO_OBJECT}  # noqa: RUF012
