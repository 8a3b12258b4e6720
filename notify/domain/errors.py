"""Every error that notify answers with: one class, one stable code, one HTTP status, one retry verdict.

NotifyError
├── BadRequest            400  bad_request           the body is not JSON at all
├── Unauthorized          401  unauthorized          no key or token, or a wrong one
│   ├── TokenMissing           token_missing
│   ├── TokenInvalid           token_invalid
│   ├── TokenExpired           token_expired
│   └── TokenRevoked           token_revoked
├── Forbidden             403  forbidden             a good key or token without the right
├── NotFound              404  not_found
├── MethodNotAllowed      405  method_not_allowed
├── InFlight              409  in_flight             the same Idempotency-Key is being worked on
├── TooLarge              413  too_large
│   └── HeadTooLarge      431  head_too_large        request line and headers
├── UnsupportedMedia      415  unsupported_media_type
├── Invalid               422  invalid               fields are wrong; `errors` names each
│   └── KeyReused              idempotency_key_reused
├── TooMany               429  too_many              a limit of ours was reached
└── Unavailable           503  unavailable           Redis did not take it; try again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. `pointer` is a JSON pointer (RFC 6901) into the body."""

    pointer: str
    detail: str


class NotifyError(Exception):
    """The root. `code` is stable and what callers branch on; `detail` is a sentence for people."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class BadRequest(NotifyError):
    """The request cannot be read as JSON."""

    code, title, status = "bad_request", "The request could not be read", 400


class Unauthorized(NotifyError):
    """No credentials, or wrong ones."""

    code, title, status = "unauthorized", "Credentials are missing or wrong", 401


class TokenMissing(Unauthorized):
    """A client connected without `auth: {token}`."""

    code, title = "token_missing", "A token is required"


class TokenInvalid(Unauthorized):
    """A token that does not verify: signature, algorithm, issuer, audience, shape."""

    code, title = "token_invalid", "The token is not valid"


class TokenExpired(Unauthorized):
    """A token past its `exp`."""

    code, title = "token_expired", "The token has expired"


class TokenRevoked(Unauthorized):
    """A token issued before the user's tokens were revoked."""

    code, title = "token_revoked", "The token has been revoked"


class Forbidden(NotifyError):
    """Known credentials that do not carry the right."""

    code, title, status = "forbidden", "Not allowed", 403


class NotFound(NotifyError):
    """Nothing exists under that name."""

    code, title, status = "not_found", "Not found", 404


class MethodNotAllowed(NotifyError):
    """The path exists, the method does not."""

    code, title, status = "method_not_allowed", "Method not allowed", 405


class InFlight(NotifyError):
    """Another request with the same Idempotency-Key has not finished."""

    code, title, status, retryable = "in_flight", "A request with this key is in flight", 409, True


class TooLarge(NotifyError):
    """A body over the limit."""

    code, title, status = "too_large", "The body is too large", 413


class HeadTooLarge(TooLarge):
    """A request line and headers over the limit (RFC 6585)."""

    code, title, status = "head_too_large", "The head is too large", 431


class UnsupportedMedia(NotifyError):
    """A body that is not `application/json`, or is encoded in a way that is not accepted."""

    code, title, status = "unsupported_media_type", "Unsupported media type", 415


class Invalid(NotifyError):
    """JSON, but with wrong or missing fields."""

    code, title, status = "invalid", "The request is not valid", 422


class KeyReused(Invalid):
    """An Idempotency-Key that was used before with another body."""

    code, title = "idempotency_key_reused", "The key was used with another body"


class TooMany(NotifyError):
    """A rate or a count over its limit."""

    code, title, status, retryable = "too_many", "Too many", 429, True


class Unavailable(NotifyError):
    """Redis, or the issuer of tokens, did not answer in time. The same Idempotency-Key is safe to retry."""

    code, title, status, retryable = "unavailable", "Temporarily unavailable", 503, True
