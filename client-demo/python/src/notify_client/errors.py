"""Every error that this package raises: one tree. Branch on the class or on `code`; both are stable.

NotifyError
├── Misconfigured        misconfigured          no URL or key, or one that cannot be used; nothing was sent
├── BadRequest           bad_request            400
├── Unauthorized         unauthorized           401  no API key, or a wrong one
├── Forbidden            forbidden              403  a good key without the scope
├── NotFound             not_found              404
├── MethodNotAllowed     method_not_allowed     405
├── InFlight             in_flight              409  another request with this key is in work   retryable
├── TooLarge             too_large              413
│   └── HeadTooLarge     head_too_large         431  the URL or a header
├── UnsupportedMedia     unsupported_media_type 415
├── Invalid              invalid                422  `errors` names the fields
│   └── KeyReused        idempotency_key_reused 422  the key came before with another body
├── TooMany              too_many               429                                             retryable
├── ServerFault          internal               500 and other 5xx                               retryable
│   └── Unavailable      unavailable            502, 503, 504                                   retryable
├── Unreachable          unreachable            no answer: refused, reset, timed out            retryable
└── Unexpected           unexpected             an answer, but not one that notify gives
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. `pointer` is a JSON pointer (RFC 6901) into what was sent."""

    pointer: str
    detail: str


class NotifyError(Exception):
    """The root. No attribute and no text of an error carries the API key or a token."""

    code: str = "error"
    """Stable: what to branch on."""
    retryable: ClassVar[bool] = False
    """True where the same call, with the same idempotency key, may succeed later."""

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        """A sentence for people."""
        self.status = status
        """The HTTP status; None when there was no answer."""
        self.errors = tuple(errors)
        """The fields to blame, where there are any."""
        self.retry_after_s = retry_after_s
        """How long the server asked to wait, in seconds."""
        self.request_id = request_id
        """The `X-Request-Id` under which the call stands in the log of the node."""
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        fields = "".join(f"\n  {field.pointer or 'the body'}: {field.detail}" for field in self.errors)
        asked = f" [request {self.request_id}]" if self.request_id else ""
        return f"{self.code}: {self.detail}{asked}{fields}"


class Misconfigured(NotifyError):
    """The client cannot be used as it was set up. Nothing was sent."""

    code = "misconfigured"


class BadRequest(NotifyError):
    """The request could not be read."""

    code = "bad_request"


class Unauthorized(NotifyError):
    """There is no such API key."""

    code = "unauthorized"


class Forbidden(NotifyError):
    """The API key is good, and does not have the scope for this."""

    code = "forbidden"


class NotFound(NotifyError):
    """There is nothing under that id."""

    code = "not_found"


class MethodNotAllowed(NotifyError):
    """The server does not know this call: it is older than this package."""

    code = "method_not_allowed"


class InFlight(NotifyError):
    """Another request with the same idempotency key has not ended."""

    code = "in_flight"
    retryable = True


class TooLarge(NotifyError):
    """More bytes than the server takes."""

    code = "too_large"


class HeadTooLarge(TooLarge):
    """A URL, an idempotency key or another header that is longer than the server takes."""

    code = "head_too_large"


class UnsupportedMedia(NotifyError):
    """Something on the way changed the body's type or encoding."""

    code = "unsupported_media_type"


class Invalid(NotifyError):
    """Fields are wrong; `errors` says which."""

    code = "invalid"


class KeyReused(Invalid):
    """The idempotency key came before, with another body."""

    code = "idempotency_key_reused"


class TooMany(NotifyError):
    """A limit of the server."""

    code = "too_many"
    retryable = True


class ServerFault(NotifyError):
    """Something went wrong on the server's side."""

    code = "internal"
    retryable = True


class Unavailable(ServerFault):
    """The server cannot take it just now."""

    code = "unavailable"


class Unreachable(NotifyError):
    """No answer came: whether the server has it is not known. The same idempotency key makes a retry safe."""

    code = "unreachable"
    retryable = True


class Unexpected(NotifyError):
    """An answer that notify would not give: another service, a proxy's page, a redirect."""

    code = "unexpected"


BY_CODE: dict[str, type[NotifyError]] = {
    kind.code: kind
    for kind in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, InFlight, TooLarge, HeadTooLarge,
        UnsupportedMedia, Invalid, KeyReused, TooMany, ServerFault, Unavailable,
    )
}  # fmt: skip
BY_STATUS: dict[int, type[NotifyError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: MethodNotAllowed,
    413: TooLarge, 415: UnsupportedMedia, 422: Invalid, 429: TooMany, 431: HeadTooLarge,
    502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip

SAID_BY_ANYBODY = frozenset({400, 404, 405, 415, 422})
"""Without a code these come from another service: that its 404 is no "no such notification" matters."""


def kind_of(code: str | None, status: int) -> type[NotifyError]:
    """The class for a problem's code; for a code that is not known, or none, the one for the status."""
    if code in BY_CODE:
        return BY_CODE[code]
    if status in BY_STATUS and (code or status not in SAID_BY_ANYBODY):
        return BY_STATUS[status]
    if status >= 500 and status != 501:  # 501: the server will not learn it while we wait
        return ServerFault
    return NotifyError if code else Unexpected
