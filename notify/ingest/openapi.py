"""The OpenAPI 3.1 document, made from the schemas."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from notify.domain import errors
from notify.domain.api_key import SCOPES
from notify.ingest import examples
from notify.ingest.answers import (
    AcceptedSchema,
    BatchResultSchema,
    ConnectionSchema,
    DisconnectedSchema,
    FaultSchema,
    MembershipSchema,
    PresenceSchema,
    ProblemSchema,
    ResultSchema,
    RoomSchema,
)
from notify.ingest.fields import OnlyTrue
from notify.ingest.notifications import BATCH_PATH, PATH
from notify.ingest.operation import REFUSALS, answer, body, refusals
from notify.ingest.people_operations import people_operations
from notify.ingest.problems import CONTENT_TYPE, problem
from notify.ingest.schemas import MAX_BATCH, BatchSchema, DisconnectSchema, NotificationSchema, TargetSchema

SCHEMAS: dict[str, type[Schema]] = {
    "Target": TargetSchema,
    "Notification": NotificationSchema,
    "Batch": BatchSchema,
    "Disconnect": DisconnectSchema,
    "Accepted": AcceptedSchema,
    "Fault": FaultSchema,
    "Problem": ProblemSchema,
    "Result": ResultSchema,
    "BatchResult": BatchResultSchema,
    "Connection": ConnectionSchema,
    "Presence": PresenceSchema,
    "Disconnected": DisconnectedSchema,
    "Room": RoomSchema,
    "Membership": MembershipSchema,
}

DESCRIPTION = """\
Post a notification once; every connected tab and device of its target has it at once, on whichever \
node it hangs, and what was missed follows on reconnect.

A request is answered 202 only after Redis holds the notification. With an `Idempotency-Key` a request \
may be sent again after any error or timeout, and never makes a second notification.

Errors are `application/problem+json` (RFC 9457). Every answer carries an `X-Request-Id`; one that is \
sent is kept.
"""


def document(*, max_payload: int) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="notify",
        version=version("notify"),
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        tags=[
            {"name": "notifications", "description": "What backends post."},
            {"name": "users", "description": "Who is connected."},
            {"name": "rooms", "description": "Who is in which room."},
        ],
        servers=[{"url": "/", "description": "This node"}],
        security=[{"apiKey": []}],
    )
    assert plugin.converter is not None  # noqa: S101 - for the type checker: APISpec has just set it
    plugin.converter.field_mapping[OnlyTrue] = ("boolean", None)
    for name, schema in SCHEMAS.items():
        spec.components.schema(name, schema=schema)
    for name, response in _refusals().items():
        spec.components.response(name, response)
    for name, header in HEADERS.items():
        spec.components.header(name, header)
    for name, parameter in PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], parameter)
    spec.components.security_scheme("apiKey", _security_scheme())
    spec.path(PATH, operations={"post": _post(max_payload)})
    spec.path(BATCH_PATH, operations={"post": _post_batch(max_payload)})
    for path, operations in people_operations().items():
        spec.path(path, operations=operations)
    made: dict[str, Any] = spec.to_dict()
    for name, schema in SCHEMAS.items():
        made["components"]["schemas"][name]["description"] = _first_line(schema.__doc__)
    made["components"]["schemas"]["Target"]["anyOf"] = [
        {"required": [name]} for name in ("user", "users", "room", "rooms", "all")
    ]
    made["components"]["schemas"]["Target"]["properties"]["all"]["const"] = True
    return made


HEADERS: dict[str, dict[str, Any]] = {
    "RequestId": {
        "description": "The request's id in the logs: the one that was sent, or a new one.",
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The notification's path.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Replayed": {
        "description": "`true` when this is the answer to an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "Challenge": {"description": "`Bearer`, and what was wrong (RFC 6750).", "schema": {"type": "string"}},
}

PARAMETERS: dict[str, dict[str, Any]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Makes it safe to send the request again: for 24 hours the same key with the same "
        "body is answered like the first time, and nothing is published twice. Scoped to the API key. 1 to "
        "255 visible ASCII characters, such as a UUID.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "description": "An id to find the request by in the logs. One is made up when none, or a strange "
        "one, is sent.",
        "schema": {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9._~:/+=@-]+$"},
    },
}


def _security_scheme() -> dict[str, Any]:
    scopes = " ".join(f"`{scope}`: {meaning}." for scope, meaning in SCOPES.items())
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer <API key>`. Keys are made by `notify keys create` or stand in "
        f"NOTIFY_API_KEYS (those have every scope). Scopes: {scopes}",
    }


def _refusals() -> dict[str, dict[str, Any]]:
    found = {}
    for name, (error, description) in REFUSALS.items():
        headers = {"X-Request-Id": "RequestId"}
        if error.retryable:
            headers["Retry-After"] = "RetryAfter"
        if error.status in {401, 403}:
            headers["WWW-Authenticate"] = "Challenge"
        found[name] = {
            "description": description,
            "headers": {
                header: {"$ref": f"#/components/headers/{component}"} for header, component in headers.items()
            },
            "content": {
                CONTENT_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": problem(examples.error(error)),
                }
            },
        }
    return found


def _post(max_payload: int) -> dict[str, Any]:
    return {
        "operationId": "postNotification",
        "summary": "Post a notification",
        "description": f"To users, rooms or everyone. The body may be {max_payload} bytes long. "
        "Needs the scope `publish`.",
        "tags": ["notifications"],
        "parameters": ["IdempotencyKey", "RequestId"],
        "requestBody": body("Notification", examples.NOTIFICATIONS),
        "responses": {
            "202": answer(
                "Redis holds it.",
                "Accepted",
                {"accepted": examples.ACCEPTED},
                Location="Location",
                replayed=True,
            ),
            **refusals(),
        },
    }


def _post_batch(max_payload: int) -> dict[str, Any]:
    return {
        "operationId": "postNotificationBatch",
        "summary": "Post many notifications",
        "description": f"1 to {MAX_BATCH} of them, each at most {max_payload} bytes long. Each is judged by "
        "itself: look at `results` when the answer is not 202. One Idempotency-Key covers the whole batch. "
        "Needs the scope `publish`.",
        "tags": ["notifications"],
        "parameters": ["IdempotencyKey", "RequestId"],
        "requestBody": body("Batch", {"two": examples.BATCH}),
        "responses": {
            **refusals(),
            "202": answer("Redis holds all of them.", "BatchResult", {"all": examples.ALL}, replayed=True),
            "207": answer("Redis holds some of them.", "BatchResult", {"some": examples.SOME}, replayed=True),
            "422": {
                "description": "None was accepted: `results` says why. Or the batch itself is wrong: then "
                "the answer is a problem.",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/BatchResult"},
                        "examples": {"none": {"value": examples.NONE}},
                    },
                    CONTENT_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "example": problem(examples.error(errors.Invalid)),
                    },
                },
            },
        },
    }


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n\n")[0]
