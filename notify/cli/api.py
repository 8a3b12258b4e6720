"""The HTTP API as the command line calls it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import click

from notify.cli.terminal.documents import Line
from notify.cli.terminal.url import Url

TIMEOUT_S = 30
MAX_ITEMS, MAX_TARGETS, MAX_BYTES = 1000, 10_000, 512 * 1024
"""Limits of one batch: as many items as the API takes, and fewer bytes, because of proxies in front of it."""
TRIES = 5
LONGEST_WAIT_S = 10.0
PASSING = frozenset({409, 429, 503})

F = TypeVar("F", bound=Callable[..., Any])


class Failed(click.ClickException):
    """The API did not accept the request: exit code 1."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one line: its id, or a sentence."""

    number: int
    id: str | None
    fault: str = ""


class Api:
    """`async with Api.open(url, key) as api`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, key: str) -> AsyncIterator[Self]:
        """`url` has no slash at its end."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            yield cls(session, url)

    async def send(self, notification: Mapping[str, Any], key: str | None) -> tuple[str, str]:
        """POST one; its id and status. Raises Failed."""
        path = "/v1/notifications"
        status, found = await self._post(path, _encoded(notification), key or secrets.token_hex(16))
        try:
            if status == 202:
                return str(found["id"]), str(found["status"])
            raise Failed(_told(found, status))
        except (KeyError, TypeError) as error:
            raise self._another(path, status) from error

    async def send_batch(self, lines: Sequence[Line], key: str) -> list[Fate]:
        """POST several; what became of each, in order. Raises Failed when the whole batch was refused."""
        path = "/v1/notifications/batch"
        body = b'{"notifications":[' + b",".join(_encoded(line.document) for line in lines) + b"]}"
        status, found = await self._post(path, body, key)
        try:
            if status not in (202, 207) and not (status == 422 and "results" in found):
                raise Failed(_told(found, status))
            return [
                Fate(line.number, result["id"])
                if "error" not in result
                else Fate(line.number, None, _fault(result["error"], f"/notifications/{index}"))
                for index, (line, result) in enumerate(zip(lines, found["results"], strict=True))
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._another(path, status) from error

    async def find(self, notification_id: str, **asked: str) -> Any:
        """GET one notification. Raises Failed."""
        path = f"/v1/notifications/{quote(notification_id, safe='')}"
        query = f"?{urlencode(asked)}" if asked else ""
        status, found = await self._ask("GET", path + query)
        try:
            if status == 200 and isinstance(found["recipients"], int):
                return found
            raise Failed(_told(found, status))
        except (KeyError, TypeError) as error:
            raise self._another(path, status) from error

    async def retract(self, notification_id: str) -> None:
        """DELETE one notification. Raises Failed."""
        path = f"/v1/notifications/{quote(notification_id, safe='')}"
        status, found = await self._ask("DELETE", path)
        if status != 204:
            try:
                raise Failed(_told(found, status))
            except (KeyError, TypeError) as error:
                raise self._another(path, status) from error

    async def _post(self, path: str, body: bytes, key: str) -> tuple[int, Any]:
        return await self._ask("POST", path, data=body, headers={"Idempotency-Key": key})

    async def _ask(self, method: str, path: str, **sent: Any) -> tuple[int, Any]:
        """Status and document; transient errors are retried. Raises Failed."""
        for left in reversed(range(TRIES)):
            try:
                async with self._session.request(method, self._url + path, **sent) as response:
                    text, status = await response.text(), response.status
                    wait_s = _seconds(response.headers.get("Retry-After"))
            except (aiohttp.ClientError, ValueError, TimeoutError) as error:
                raise Failed(
                    f"{self._url}{path} did not answer: {error or type(error).__name__}. "
                    "Is --url (or NOTIFY_URL) the internal port of a node?"
                ) from error
            if status not in PASSING or not left:
                break
            click.echo(f"-- {status}; trying again in {wait_s:g} s", err=True)
            await asyncio.sleep(wait_s)
        try:
            return status, None if status == 204 else json.loads(text)
        except ValueError as error:
            raise self._another(path, status) from error

    def _another(self, path: str, status: int) -> Failed:
        return Failed(
            f"{self._url}{path} answered {status}, but not like a notify node: "
            "is --url (or NOTIFY_URL) the internal port?"
        )


def on_api(command: F) -> F:
    """The options of what is asked of the HTTP API."""
    key = click.option("--key", envvar="NOTIFY_API_KEY", help="API key; better given as NOTIFY_API_KEY.")
    url = click.option(
        "--url",
        envvar="NOTIFY_URL",
        type=Url("http://localhost:8081"),
        default="http://127.0.0.1:8081",
        show_default=True,
        help="HTTP API.",
    )
    return url(key(command))


def needed(key: str | None) -> str:
    """The API key, or a sentence that says how it is given."""
    if not key:
        raise click.UsageError("An API key is needed: set NOTIFY_API_KEY, or give --key.")
    return key


def batches(lines: Sequence[Line] | Iterator[Line]) -> Iterator[list[Line]]:
    """Lines in batches that the API takes; the same lines are always cut in the same places."""
    batch: list[Line] = []
    targets = size = 0
    for line in lines:
        more_targets, more = _targets(line.document), len(_encoded(line.document)) + 1
        full = len(batch) == MAX_ITEMS or targets + more_targets > MAX_TARGETS or size + more > MAX_BYTES
        if batch and full:
            yield batch
            batch, targets, size = [], 0, 0
        batch.append(line)
        targets += more_targets
        size += more
    if batch:
        yield batch


def _targets(document: Mapping[str, Any] | None) -> int:
    to = (document or {}).get("to")
    if not isinstance(to, dict):
        return 0
    return sum(
        len(each) if isinstance(each, list) else 1 for name, each in to.items() if name != "except_users"
    )


def _encoded(document: Mapping[str, Any] | None) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _seconds(text: str | None) -> float:
    return min(float(text), LONGEST_WAIT_S) if text is not None and text.isdigit() else 1.0


def _told(problem: Mapping[str, Any], status: int) -> str:
    lines = [f"{problem['title']} ({status} {problem['code']})"]
    if problem.get("detail"):
        lines.append(f"  {problem['detail']}")
    lines += [
        f"  {error['pointer']}: {error['detail']}"
        for error in problem.get("errors") or ()
        if f"{error['pointer']} {error['detail']}" != problem.get("detail")  # a single one is the detail
    ]
    return "\n".join(lines)


def _fault(problem: Mapping[str, Any], place: str) -> str:
    """One line for one item; pointers begin at the item, since the line is named before."""
    faults = [
        f"{each['pointer'].removeprefix(place) or 'it'} {each['detail']}"
        for each in problem.get("errors") or ()
    ]
    return f"{problem['code']}: {'; '.join(faults) or problem.get('detail')}"
