"""The line between what is decided and what is done.

Calls are generators that do no I/O: they yield an Attempt, are sent what came of it (a Reply or a Fault), and
return the answer or raise. The sync and the async client drive the same generators; nothing is decided twice.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from notify_client.errors import FieldError, NotifyError, Unexpected, kind_of

T = TypeVar("T")

HINT = "is this the internal port of notify (8081)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request. `path` is percent-encoded already; `name` is what the log calls it."""

    name: str
    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Wait `wait_s`, then send the request, and give it up after `timeout_s`."""

    request: Request
    wait_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, whatever its status. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Mapping[str, Any]:
        """The body as a JSON object. Raises Unexpected."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unexpected(
                f"The answer is {self.status}, but not as notify gives it: {HINT}", status=self.status
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """No answer, and why."""

    error: NotifyError


Operation = Generator[Attempt, Reply | Fault, T]


def error_of(reply: Reply) -> NotifyError | None:
    """The error that a reply tells; None when it tells none."""
    if 200 <= reply.status < 300:
        return None
    try:
        document = reply.document()
    except Unexpected:
        document = {}
    if 300 <= reply.status < 400:
        where = reply.headers.get("location", "elsewhere")[:200]
        return Unexpected(
            f"The answer is {reply.status}, to go to {where}: give that URL, if it is notify's",
            status=reply.status,
        )
    return error_from(
        document,
        status=reply.status,
        retry_after_s=_retry_after_s(reply.headers),
        request_id=reply.headers.get("x-request-id"),
    )


def error_from(
    problem: Mapping[str, Any],
    *,
    status: int,
    retry_after_s: float | None = None,
    request_id: str | None = None,
) -> NotifyError:
    """The error that a problem document (RFC 9457) tells, or the nearest one for its status."""
    code = problem.get("code")
    code = code if isinstance(code, str) else None
    detail = problem.get("detail") or problem.get("title")
    if not isinstance(detail, str):
        detail = f"The answer is {status}, but not as notify gives it" + (f": {HINT}" if status < 500 else "")
    found = problem.get("errors")
    return kind_of(code, status)(
        detail,
        status=status,
        code=code,
        errors=[_field(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else (),
        retry_after_s=retry_after_s,
        request_id=request_id,
    )


def _field(found: Mapping[str, Any]) -> FieldError:
    return FieldError(str(found.get("pointer", "")), str(found.get("detail", "")))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds (RFC 9110 section 10.2.3). A date is judged by the clock of who wrote it."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
