"""What `notify send` reads: JSON on the command line, in a file (`@file`) or on standard input (`-`).

One document is one notification; several, one a line (NDJSON) or in an array, are many.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

LONGEST_LINE = 16 * 1024 * 1024
"""The API accepts no more than this in one request."""


@dataclass(frozen=True, slots=True)
class Line:
    """One document, or why it could not be read. `number` counts from 1."""

    number: int
    document: dict[str, Any] | None
    fault: str = ""


def text_of(value: str, option: str) -> str:
    """The value itself, or the whole of the file (`@file`) or of standard input (`-`) that it names."""
    if value != "-" and not value.startswith("@"):
        return value
    with _opened(value, option) as stream:
        found: bytes = stream.read(LONGEST_LINE)
    return found.decode("utf-8", "replace")


def lines_of(value: str, option: str) -> Iterator[Line]:
    """The documents of a value, `@file` or `-`, as they are read: the input may have no end."""
    if value != "-" and not value.startswith("@"):
        yield from _whole(value)
        return
    with _opened(value, option) as stream:
        numbered = enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1)
        full = ((number, line) for number, line in numbered if line.strip())
        first = next(full, None)
        if first is None:
            return
        if _is_document(first[1]):
            for number, line in itertools.chain([first], full):
                yield _line(number, line)
        else:  # a document over several lines
            yield from _whole((first[1] + stream.read(LONGEST_LINE)).decode("utf-8", "replace"))


def _opened(value: str, option: str) -> Any:
    if value == "-":
        return _Kept(sys.stdin.buffer)
    try:
        return Path(value[1:]).open("rb")
    except OSError as error:
        raise click.UsageError(f"{option}: {value[1:]} cannot be read: {error.strerror}.") from error


class _Kept:
    """Standard input as a context that does not close it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __enter__(self) -> BinaryIO:
        return self._stream

    def __exit__(self, *_: object) -> None:
        """It is not ours to close."""


def _is_document(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _line(number: int, line: bytes) -> Line:
    try:
        found = json.loads(line)
    except ValueError as error:
        return Line(number, None, f"this is not JSON: {error}")
    return _document(number, found)


def _document(number: int, found: Any) -> Line:
    if not isinstance(found, dict):
        return Line(
            number, None, 'this must be a JSON object, such as {"to": {"user": "42"}, "title": "Hello"}'
        )
    return Line(number, found)


def _whole(text: str) -> Iterator[Line]:
    try:
        found = json.loads(text)
    except ValueError as error:
        yield Line(1, None, f"this is not JSON: {error}")
        return
    if isinstance(found, list):
        yield from (_document(number, each) for number, each in enumerate(found, 1))
    else:
        yield _document(1, found)
