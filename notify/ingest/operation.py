"""The pieces that operations in the OpenAPI document are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from notify.domain import errors

REFUSALS: dict[str, tuple[type[errors.NotifyError], str]] = {
    "BadRequest": (errors.BadRequest, "The body is not JSON, or the Idempotency-Key header is malformed."),
    "Unauthorized": (errors.Unauthorized, "No API key, or one that is not known (any more)."),
    "Forbidden": (errors.Forbidden, "The API key does not have the scope."),
    "InFlight": (errors.InFlight, "A request with the same Idempotency-Key is being worked on. Try again."),
    "TooLarge": (errors.TooLarge, "The body is too large. Decided from Content-Length, where there is one."),
    "UnsupportedMedia": (errors.UnsupportedMedia, "The body is not `application/json`, or it is compressed."),
    "Invalid": (
        errors.Invalid,
        "Read, but not what was asked for; `errors` says where. Also, with the code "
        "`idempotency_key_reused`, an Idempotency-Key that came before with another body.",
    ),
    "TooMany": (errors.TooMany, "A limit was reached. Try again after `Retry-After` seconds."),
    "Internal": (errors.NotifyError, "A fault of this service. It has been logged under the X-Request-Id."),
    "Unavailable": (
        errors.Unavailable,
        "Redis did not take it. Try again after `Retry-After` seconds, best with an Idempotency-Key: then "
        "what was begun is finished and nothing comes twice.",
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


def refusals(names: Iterable[str] = REFUSALS) -> dict[str, Any]:
    """References to refusals, all or the named ones, by status."""
    return {str(REFUSALS[name][0].status): {"$ref": f"#/components/responses/{name}"} for name in names}


def _content(schema: str, bodies: dict[str, Any]) -> dict[str, Any]:
    return {
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{schema}"},
            "examples": {name: {"value": body} for name, body in bodies.items()},
        }
    }
