"""What the sync and the async client share of httpx: the request it is given, the faults it raises."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx

from notify_client.endpoint import Endpoint
from notify_client.errors import Misconfigured, NotifyError, Unexpected, Unreachable
from notify_client.exchange import Attempt, Fault, Reply

LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30)
MAX_REPLY = 16 * 1024 * 1024
"""No answer of notify comes near: it is for what else may answer."""


class Incoming:
    """A reply as it arrives, within bounds of size and time. `add` raises NotifyError."""

    def __init__(self, attempt: Attempt, now: Callable[[], float]) -> None:
        self._body = bytearray()
        self._now = now
        self._until = now() + attempt.timeout_s

    def add(self, chunk: bytes) -> None:
        """The next piece. httpx's own timeout begins anew with each of them."""
        self._body += chunk
        if len(self._body) > MAX_REPLY:
            raise Unexpected(f"The answer has more than {MAX_REPLY} bytes")
        if self._now() > self._until:
            raise Unreachable("The answer did not end in time")

    def reply(self, response: httpx.Response) -> Reply:
        """All of it."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status_code, headers=headers, body=bytes(self._body))


def request_of(
    attempt: Attempt, endpoint: Endpoint, client: httpx.Client | httpx.AsyncClient
) -> httpx.Request:
    """The request as httpx sends it."""
    asked = attempt.request
    headers = endpoint.headers() | dict(asked.headers)
    if asked.body is not None:
        headers["Content-Type"] = "application/json"
    return client.build_request(
        asked.method,
        endpoint.url + asked.path,
        content=asked.body,
        headers=headers,
        timeout=httpx.Timeout(attempt.timeout_s),
    )


def fault_of(error: Exception, endpoint: Endpoint) -> Fault:
    """What httpx raised, or `Incoming`, as an error of ours."""
    if isinstance(error, NotifyError):
        return Fault(error=error)
    found: NotifyError
    if _is_certificate(error):
        found = Misconfigured(f"{endpoint.url} has a certificate that is not trusted: {error}")
    elif isinstance(error, httpx.TimeoutException):
        found = Unreachable(f"{endpoint.url} did not answer in time ({type(error).__name__})")
    elif isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL):
        found = Misconfigured(f"{endpoint.url} cannot be asked: {error}")
    else:
        found = Unreachable(f"{endpoint.url} did not answer: {error or type(error).__name__}")
    found.__cause__ = error
    return Fault(error=found)


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
