"""Logs: one line an event, JSON or for a person to read, and never a secret or a payload."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(
    r"token|authorization|api_?key|secret|password|passwd|cookie|credential|^auth$|^pid$", re.I
)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")
_BEARER = re.compile(r"\b(bearer\s+)\S+", re.I)
_USERINFO = re.compile(r"(\w[\w+.-]*://[^/\s:@]*:)[^@\s/]+@")
_API_KEY = re.compile(r"\bnk_[\w-]{8,}")

LIBRARIES = ("aiohttp", "socketio", "engineio", "asyncio", "redis")


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cover what is named like a secret, and whatever looks like one inside any text."""
    return {name: HIDDEN if _names_secret(name, value) else _covered(value) for name, value in event.items()}


def _names_secret(name: str, value: object) -> bool:
    # A pid that is a text is Socket.IO's, and secret; a process's is a number. `api_key_id` names a key only.
    if isinstance(value, bool | int | float | None) or name.endswith("_id"):
        return False
    return _SECRET_NAME.search(name) is not None


def _covered(value: Any) -> Any:
    if isinstance(value, str):
        text = _JWT.sub(HIDDEN, value)
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
        text = _API_KEY.sub(HIDDEN, text)
        return _USERINFO.sub(rf"\1{HIDDEN}@", text)
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _names_secret(str(name), each) else _covered(each) for name, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_covered(each) for each in value]
    if isinstance(value, bool | int | float | None):
        return value
    return _covered(str(value))


def configure(*, level: str, format: str, node: str | None = None, stream: TextIO | None = None) -> None:
    """Set up logging for the process: `format` is json or console; `node` stands in every line.

    The libraries' own logs take the same way, from warning on: at info, engineio would log the packet that
    carries a client's token.
    """
    stream = stream or sys.stderr
    console = format == "console"
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
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(_json)
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,  # module loggers may have been used before this
    )
    handler = logging.StreamHandler(stream)
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


def _named(node: str) -> Processor:
    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("node", node)
        return event

    return name


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
