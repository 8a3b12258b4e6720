"""The pieces that operations in the OpenAPI document are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from notify.domain import errors

REFUSALS: dict[str, tuple[type[errors.NotifyError], str]] = {
    "BadRequest": (errors.BadRequest, "The body is not JSON, or the Idempotency-Key header is malformed."),
    "Unauthorized": (errors.Unauthorized, "No API key, or one that is unknown or revoked."),
    "Forbidden": (errors.Forbidden, "The API key does not have the scope."),
    "NotFound": (errors.NotFound, "Nothing of that id is known (any more)."),
    "InFlight": (errors.InFlight, "A request with the same Idempotency-Key is being worked on. Try again."),
    "TooLarge": (
        errors.TooLarge,
        "The body is too large (by Content-Length, if there is one), or the bytes of its notifications, each "
        "times its targets, come to more than NOTIFY_MAX_FANOUT_BYTES (64 MiB). Nothing was written.",
    ),
    "UnsupportedMedia": (errors.UnsupportedMedia, "The body is not `application/json`, or it is compressed."),
    "Invalid": (
        errors.Invalid,
        "Fields are wrong; `errors` names them. Also, with the code `idempotency_key_reused`: the "
        "Idempotency-Key was used before with another body.",
    ),
    "TooMany": (errors.TooMany, "A limit was reached. Try again after `Retry-After` seconds."),
    "Internal": (errors.NotifyError, "A fault of this service. It has been logged under the X-Request-Id."),
    "Unavailable": (
        errors.Unavailable,
        "Redis did not accept it. Try again after `Retry-After` seconds, preferably with an Idempotency-Key: "
        "then what was begun is finished and nothing is delivered twice.",
    ),
}


def body(schema: str, bodies: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """A request's body with its examples."""
    return {"required": required, "content": _content(schema, bodies)}


def answer(
    description: str, schema: str, bodies: dict[str, Any], *, replayed: bool = False, **headers: str
) -> dict[str, Any]:
    """An answer with its examples. `headers` are names of components by name of header."""
    components = {"X-Request-Id": "RequestId", **headers}
    if replayed:
        components["Idempotent-Replayed"] = "Replayed"
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{found}"} for name, found in components.items()},
        "content": _content(schema, bodies),
    }


def done(description: str) -> dict[str, Any]:
    """An answer without a body."""
    return {
        "description": description,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
    }


POSTED = tuple(name for name in REFUSALS if name != "NotFound")
"""The refusals of what is posted."""


def refusals(names: Iterable[str] = POSTED) -> dict[str, Any]:
    """References to refusals, those of what is posted or the named ones, by status."""
    return {str(REFUSALS[name][0].status): {"$ref": f"#/components/responses/{name}"} for name in names}


def _content(schema: str, bodies: dict[str, Any]) -> dict[str, Any]:
    return {
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{schema}"},
            "examples": {name: {"value": body} for name, body in bodies.items()},
        }
    }
