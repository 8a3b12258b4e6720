"""How an error is sent over HTTP: `application/problem+json` (RFC 9457).

    {"type", "title", "status", "detail", "code", "errors": [{"pointer", "detail"}]}

All of these members are always there; `errors` is empty when no field is to blame. Callers branch on `code`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from notify.domain.errors import Invalid, NotifyError, TooMany, Unavailable

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:notify:error:"
MAX_FIELD_ERRORS = 20
"""How many wrong fields are named: more help nobody, and the answer must not outgrow the request."""
INTERNAL = 500
INTERNAL_DETAIL = "Something went wrong on our side; it has been logged"
"""What callers are told of faults of our own. The details are for the log."""


def pointer(*path: str | int) -> str:
    """A JSON pointer (RFC 6901) from keys and indexes; with none, the empty one: the whole document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def problem(error: NotifyError) -> dict[str, Any]:
    """The error as the members of a problem document."""
    return {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": INTERNAL_DETAIL if error.status == INTERNAL else error.detail,
        "code": error.code,
        "errors": [{"pointer": field.pointer, "detail": field.detail} for field in error.errors],
    }


def none_accepted(count: int) -> Invalid:
    """The error of a batch of which nothing was accepted; its results are added to it."""
    return Invalid(f"None of {count} was accepted; `results` says why")


def render(error: NotifyError, headers: Mapping[str, str] | None = None) -> web.Response:
    """The error as a response, with `Retry-After` where trying again may help."""
    response = web.Response(
        body=orjson.dumps(problem(error)), status=error.status, headers=headers, content_type=CONTENT_TYPE
    )
    wait_s = error.retry_after_s
    if wait_s is None and error.retryable:
        wait_s = 1
    if wait_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return response


def is_ours_to_retry(error: NotifyError) -> bool:
    """True when the request was good and a limit or the store stood in its way."""
    return isinstance(error, Unavailable | TooMany) or error.status >= 500
