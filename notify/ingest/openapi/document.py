"""The OpenAPI 3.1 document, made from the schemas."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from notify.domain import errors
from notify.domain.api_key import SCOPES
from notify.ingest.fields import Moment, OnlyTrue
from notify.ingest.http.problems import CONTENT_TYPE, problem
from notify.ingest.inbox_schemas import MarkSchema
from notify.ingest.notifications import BATCH_PATH, PATH
from notify.ingest.openapi import examples
from notify.ingest.openapi.inbox import (
    CountsSchema,
    EntrySchema,
    MarkedSchema,
    PageSchema,
    inbox_operations,
)
from notify.ingest.openapi.operation import REFUSALS, answer, body, refusals
from notify.ingest.openapi.people import people_operations
from notify.ingest.openapi.receipts import ReceiptSchema, RecipientSchema, receipt_operations
from notify.ingest.openapi.responses import (
    AcceptedSchema,
    BatchProblemSchema,
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
from notify.ingest.openapi.samples import add_samples
from notify.ingest.schemas import MAX_BATCH, BatchSchema, DisconnectSchema, NotificationSchema, TargetSchema

SCHEMAS: dict[str, type[Schema]] = {
    "Target": TargetSchema,
    "Notification": NotificationSchema,
    "Batch": BatchSchema,
    "Disconnect": DisconnectSchema,
    "Mark": MarkSchema,
    "Accepted": AcceptedSchema,
    "Fault": FaultSchema,
    "Problem": ProblemSchema,
    "Result": ResultSchema,
    "BatchResult": BatchResultSchema,
    "BatchProblem": BatchProblemSchema,
    "Connection": ConnectionSchema,
    "Presence": PresenceSchema,
    "Disconnected": DisconnectedSchema,
    "Room": RoomSchema,
    "Membership": MembershipSchema,
    "Counts": CountsSchema,
    "Entry": EntrySchema,
    "Page": PageSchema,
    "Marked": MarkedSchema,
    "Recipient": RecipientSchema,
    "Receipt": ReceiptSchema,
}

REQUESTS = ("Target", "Notification", "Batch", "Disconnect")
"""The schemas of what is sent to us."""

DESCRIPTION = """\
Post a notification once; every connected tab and device of its target gets it at once, on whichever \
node, and gets what it missed when it reconnects. Users who are away find it in their inbox.

A request is answered 202 only after Redis holds the notification. With an `Idempotency-Key` a request \
may be sent again after any error or timeout, and never makes a second notification.

Errors are `application/problem+json` (RFC 9457). Every answer carries an `X-Request-Id`: yours if you \
sent one.
"""


def document(*, max_payload: int) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="notify",
        version=version("notify-socketio"),
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        tags=[
            {"name": "notifications", "description": "What backends post."},
            {"name": "users", "description": "Who is connected."},
            {"name": "inboxes", "description": "What is kept for each user until it expires."},
            {"name": "rooms", "description": "Who is in which room."},
        ],
        servers=[{"url": "/", "description": "This node"}],
        security=[{"apiKey": []}],
    )
    assert plugin.converter is not None  # noqa: S101 - for the type checker: APISpec has just set it
    plugin.converter.field_mapping[OnlyTrue] = ("boolean", None)
    plugin.converter.field_mapping[Moment] = ("string", "date-time")
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
    for path, operations in {**receipt_operations(), **people_operations(), **inbox_operations()}.items():
        spec.path(path, operations=operations)
    made: dict[str, Any] = spec.to_dict()
    for name, schema in SCHEMAS.items():
        made["components"]["schemas"][name]["description"] = _first_line(schema.__doc__)
    # That one of them must be there can be said by `anyOf` of `required`s; generators then make it a union of
    # nothing. That `all` can only be true: by `const`, which they do not know for booleans.
    made["components"]["schemas"]["Target"]["minProperties"] = 1
    for name in REQUESTS:
        for described in made["components"]["schemas"][name]["properties"].values():
            # A field with a `default` is taken for one that is always there, and so would have to be sent.
            if "default" in described:
                default = orjson.dumps(described.pop("default")).decode()
                described["description"] += f" Default: `{default}`."
    add_samples(made)
    return made


HEADERS: dict[str, dict[str, Any]] = {
    "RequestId": {
        "description": "The request's id in the logs: the one that was sent, or a new one.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "A strong validator of this answer (RFC 9110 section 8.8.3).",
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The notification's path; not there for an ephemeral one that is not `scheduled`.",
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
        # No example: viewers would send it with every request that is tried.
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The `ETag` of the answer that you have.",
        "schema": {"type": "string"},
    },
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "description": "An id by which to find the request in the logs. One is generated when none, or an "
        "unusable one, is sent.",
        "schema": {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9._~:/+=@-]+$"},
    },
}


def _security_scheme() -> dict[str, Any]:
    scopes = " ".join(f"`{scope}`: {meaning}." for scope, meaning in SCOPES.items())
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer <API key>`. Keys are created by `notify keys create` or "
        f"listed in NOTIFY_API_KEYS (those have every scope). Scopes: {scopes}",
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
                {"accepted": examples.ACCEPTED, "scheduled": examples.SCHEDULED},
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
        "description": f"1 to {MAX_BATCH} of them, each at most {max_payload} bytes long. Each is accepted "
        "or "
        "rejected by itself: look at `results` when the answer is not 202. One Idempotency-Key covers the "
        "whole batch. Needs the scope `publish`.",
        "tags": ["notifications"],
        "parameters": ["IdempotencyKey", "RequestId"],
        "requestBody": body("Batch", {"two": examples.BATCH}),
        "responses": {
            **refusals(),
            "202": answer("Redis holds all of them.", "BatchResult", {"all": examples.ALL}, replayed=True),
            "207": answer("Redis holds some of them.", "BatchResult", {"some": examples.SOME}, replayed=True),
            "422": {
                "description": "None was accepted: `results` says why. Or the batch itself is wrong: then "
                "there are no `results`.",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
                "content": {
                    CONTENT_TYPE: {
                        "schema": {"$ref": "#/components/schemas/BatchProblem"},
                        "examples": {
                            "none accepted": {"value": examples.NONE},
                            "no batch": {"value": problem(examples.error(errors.Invalid))},
                        },
                    },
                },
            },
        },
    }


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n\n")[0]
