"""One line an event, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from notify.ops.logging import HIDDEN, configure, log_stats
from tests.support.tokens import mint

TOKEN = mint("42")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged as JSON from info on; everything is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure(level="info", format="json", node="node-1", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(stream: io.StringIO):
    structlog.get_logger("x").info("redis_lost", reason="two\nlines", after_s=1.5)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "redis_lost",
        "level": "info",
        "node": "node-1",
        "reason": "two\nlines",
        "after_s": 1.5,
    }


def test_below_the_level_nothing_is_written(stream: io.StringIO):
    structlog.get_logger("x").debug("noise")
    assert stream.getvalue() == ""


def test_an_exception_stands_in_its_line(stream: io.StringIO):
    try:
        raise ValueError(f"bad token {TOKEN}")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = lines(stream)
    assert "ValueError" in line["exception"]
    assert TOKEN not in stream.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "abc"},
        {"authorization": "abc"},
        {"Authorization": "abc"},
        {"api_key": "abc"},
        {"jwt_secret": "abc"},
        {"password": "abc"},
        {"pid": "abc"},
        {"auth": {"x": "abc"}},
        {"headers": {"Authorization": "abc"}},
        {"packet": ["connect", {"token": "abc"}]},
    ],
)
def test_what_is_named_like_a_secret_is_hidden(stream: io.StringIO, fields: dict[str, Any]):
    structlog.get_logger("x").info("event", **fields)
    assert "abc" not in stream.getvalue()
    assert HIDDEN in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"received 0{{'token': '{TOKEN}'}}", TOKEN),
        ("Authorization: Bearer abcdef123", "abcdef123"),
        ("cannot reach rediss://user:hunter22@redis:6379/0", "hunter22"),
        ("cannot reach redis://:hunter22@redis:6379/0", "hunter22"),
        ("the key nk_abcdefgh12345678", "abcdefgh12345678"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_in_any_text(stream: io.StringIO, text: str, secret: str):
    structlog.get_logger("x").info("event", reason=text)
    structlog.get_logger("x").info(text)
    logging.getLogger("engineio").warning("heard %s", text)
    assert secret not in stream.getvalue()
    assert len(lines(stream)) == 3


def test_numbers_and_ids_are_not_hidden(stream: io.StringIO):
    structlog.get_logger("x").info("event", pid=123, api_key_id="k1", tokens=7)
    (line,) = lines(stream)
    assert (line["pid"], line["api_key_id"], line["tokens"]) == (123, "k1", 7)


def test_libraries_take_the_same_way_from_warning_on(stream: io.StringIO):
    logging.getLogger("engineio.server").info("packet with a token")
    logging.getLogger("aiohttp.server").warning("slow")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("slow", "warning", "aiohttp.server")


def test_warnings_of_python_are_logged(stream: io.StringIO):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "old" in lines(stream)[0]["event"]


def test_what_json_cannot_hold_is_written_as_text(stream: io.StringIO):
    structlog.get_logger("x").info("event", thing=object(), keys={1: {2}}, raw=b"\xff")
    assert "object object" in lines(stream)[0]["thing"]


def test_the_console_is_for_people(capsys: pytest.CaptureFixture[str]):
    stream = io.StringIO()
    configure(level="info", format="console", stream=stream)
    structlog.get_logger("x").info("redis_lost", token=TOKEN)
    structlog.reset_defaults()
    assert "redis_lost" in stream.getvalue()
    assert TOKEN not in stream.getvalue()


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_what_cannot_be_logged_is_counted_and_raises_nothing(stream: io.StringIO):
    before = log_stats.dropped["unreadable"]
    structlog.get_logger("x").info("event", thing=Unprintable())
    (handler,) = [each for each in logging.getLogger().handlers if type(each).__module__.startswith("notify")]
    for message, argument in (("%s", Unprintable()), ("%d", "no number")):
        handler.handle(logging.LogRecord("engineio", logging.ERROR, "", 1, message, (argument,), None))
    assert stream.getvalue() == ""
    assert log_stats.dropped["unreadable"] == before + 3


def test_what_json_forbids_does_not_lose_the_line(stream: io.StringIO):
    loop: dict[str, Any] = {}
    loop["self"] = loop
    structlog.get_logger("x").info("event", half="\ud83d", big=2**80, loop=loop, many=list(range(10_000)))
    (line,) = lines(stream)
    assert line["half"] == "\ud83d"
    assert len(line["many"]) < 200


@pytest.mark.parametrize(
    "text",
    [
        "z" * 5_000_000,
        "eyJ-" * 1_000_000,
        "a.b" * 1_000_000,
        "nk_" * 1_000_000,
        "bearer " * 500_000,
        "x://" * 999_999,
    ],
    ids=lambda text: text[:6],
)
def test_the_length_of_a_text_does_not_decide_how_long_a_line_takes(stream: io.StringIO, text: str):
    began = time.process_time()
    structlog.get_logger("x").info("event", reason=text)
    logging.getLogger("aiohttp.server").error("bad %s", text)
    assert len(stream.getvalue()) < 50_000
    assert time.process_time() - began < 2  # a regex that goes back for each character needs minutes


def test_a_token_in_the_midst_of_words_and_dots_is_hidden(stream: io.StringIO):
    for text in (f"a.b.{TOKEN}", f"x-{TOKEN}", f"{TOKEN}.{TOKEN}", f"host.example.com/{TOKEN}"):
        structlog.get_logger("x").info("event", reason=text)
    assert TOKEN.split(".")[2] not in stream.getvalue()
    structlog.get_logger("x").info("event", reason="app.example.com and 10.0.0.1")
    assert lines(stream)[-1]["reason"] == "app.example.com and 10.0.0.1"
