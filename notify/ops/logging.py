"""Logs: one line an event, JSON or for a person to read, and never a secret or a payload."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import islice, pairwise
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from notify.ops.log_writer import LogStats, LogWriter, open_standard_streams

HIDDEN = "[hidden]"
MAX_TEXT = 8 * 1024
"""Characters of one text in a line: what clients and Redis send must not decide how long a line is."""
MAX_ITEMS = 100
"""Items of one list or mapping in a line."""
MAX_DEPTH = 8
_SECRET_NAME = re.compile(
    r"token|authorization|api_?key|secret|password|passwd|cookie|credential|^auth$|^pid$", re.I
)
# Each begins only where its run of characters begins, so that a long text is walked through once.
_DOTTED = re.compile(r"(?<![\w.-])[\w-]+(?:\.[\w-]*){2,}")
_BEARER = re.compile(r"\b(bearer\s+)\S+", re.I)
_USERINFO = re.compile(r"(?<![\w+.-])(\w[\w+.-]*://[^/\s:@]*:)[^@\s/]+@")
_API_KEY = re.compile(r"(?<!\w)nk_[\w-]{8,}")

LIBRARIES = ("aiohttp", "socketio", "engineio", "asyncio", "redis")

log_stats = LogStats()
"""Of this process, as its log is: one."""


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cover what is named like a secret, and whatever looks like one inside any text."""
    return {
        name: HIDDEN if _names_secret(name, value) else _covered(value, MAX_DEPTH)
        for name, value in event.items()
    }


def _names_secret(name: str, value: object) -> bool:
    # A pid that is a text is Socket.IO's, and secret; a process's is a number. `api_key_id` names a key only.
    if isinstance(value, bool | int | float | None) or name.endswith("_id"):
        return False
    return _SECRET_NAME.search(name) is not None


def _covered(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        text = _DOTTED.sub(_without_jwt, _shortened(value))
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
        text = _API_KEY.sub(HIDDEN, text)
        return _USERINFO.sub(rf"\1{HIDDEN}@", text)
    if isinstance(value, bool | int | float | None):
        return value
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _names_secret(str(name), each) else _covered(each, depth - 1)
            for name, each in islice(value.items(), MAX_ITEMS)
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_covered(each, depth - 1) for each in islice(value, MAX_ITEMS)]
    return _covered(str(value), depth - 1)


def _shortened(text: str) -> str:
    """The beginning and the end: of a traceback, the end says what happened."""
    if len(text) <= MAX_TEXT:
        return text
    head, tail = MAX_TEXT // 4, MAX_TEXT - MAX_TEXT // 4
    return f"{text[:head]} [{len(text) - MAX_TEXT} characters left out] {text[-tail:]}"


def _without_jwt(run: re.Match[str]) -> str:
    """What stands before a token in a run of words and dots, and the token hidden."""
    words = run[0].split(".")
    before = 0
    for word, following in pairwise(words):
        at = word.find("eyJ")
        if at >= 0 and len(word) - at >= 8 and len(following) >= 5:
            return run[0][: before + at] + HIDDEN
        before += len(word) + 1
    return run[0]


def configure(
    *,
    level: str,
    format: str,
    node: str | None = None,
    stream: TextIO | None = None,
) -> Callable[[], None]:
    """Set up logging for the process; call what it returns at the end, to have the last lines written.

    `format` is json, console, or auto: for people when standard error is a terminal. `node` stands in every
    line. Lines go to standard error by a thread of their own, or straight to `stream`, when one is given.
    Nothing that is logged can raise, or wait for whoever reads it.

    The libraries' own logs take the same way, from warning on: at info, engineio would log the packet that
    carries a client's token.
    """
    if stream is None:
        open_standard_streams()
        terminal = sys.stderr is not None and sys.stderr.isatty()
        writer = LogWriter(2, stats=log_stats)
        put = writer.put
        close: Callable[[], None] = writer.close
    else:
        terminal = stream.isatty()
        put, close = _Direct(stream).put, _nothing
    console = format == "console" or (format == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if console else "iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        *([] if node is None else [_named(node)]),
        hide_secrets,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=terminal)
        if console
        else structlog.processors.JSONRenderer(_json)
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[_unfailing([*shared, renderer])],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _LineLogger(put),
        cache_logger_on_first_use=False,  # module loggers may have been used before this
    )
    handler = _Handler(put)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)
    if stream is None:
        # Both write to standard error themselves, and would wait for it.
        sys.unraisablehook = _unraisable
        threading.excepthook = _of_thread
    return close


class _LineLogger:
    """What structlog hands finished lines to."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put

    def msg(self, line: str) -> None:
        """Write the line, whatever its level."""
        self._put(line)

    log = debug = info = warn = warning = error = exception = critical = fatal = failure = err = msg


class _Handler(logging.Handler):
    """Takes what libraries log. `logging.StreamHandler` would write, and complain, to standard error."""

    def __init__(self, put: Callable[[str], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line."""
        try:
            self._put(self.format(record))
        except Exception:  # noqa: BLE001 - logging decides nothing: it is counted, and that is all
            log_stats.dropped["unreadable"] += 1


class _Direct:
    """Writes to a stream at once, for tests and for commands that are not a server."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def put(self, line: str) -> None:
        """Write a line."""
        self._stream.write(line + "\n")
        self._stream.flush()


def _nothing() -> None:
    pass


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    what = found.err_msg or "Exception ignored in"
    logging.getLogger("python").error("%s %r", what, found.object, exc_info=found.exc_value)


def _of_thread(found: threading.ExceptHookArgs) -> None:
    name = found.thread.name if found.thread is not None else "a thread"
    logging.getLogger("python").error("Exception in %s", name, exc_info=found.exc_value)


def _unfailing(processors: list[Processor]) -> Processor:
    """All of them as one that does not raise: whatever cannot be made a line is counted and dropped."""

    def process(logger: WrappedLogger, name: str, event: EventDict) -> Any:
        found: Any = event
        try:
            for processor in processors:
                found = processor(logger, name, found)
        except structlog.DropEvent:
            raise
        except Exception:  # noqa: BLE001 - logging decides nothing
            log_stats.dropped["unreadable"] += 1
            raise structlog.DropEvent from None
        return found

    return process


def _named(node: str) -> Processor:
    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("node", node)
        return event

    return name


def _json(event: Any, **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, an integer of more than 64 bits
        return json.dumps(event, default=str, skipkeys=True)
