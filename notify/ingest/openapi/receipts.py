"""The calls about one notification, in the OpenAPI document, and what they are answered."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from marshmallow.validate import OneOf

from notify.domain.notifications.receipts import MAX_RECIPIENTS_LISTED
from notify.ingest.openapi.operation import answer, done, refusals
from notify.ingest.openapi.responses import ID, Answer
from notify.ingest.receipts import NOTIFICATION_PATH, NotificationPath, ReceiptsQuery

TIME = {"format": "date-time", "examples": ["2026-11-23T09:05:12.000Z"]}
CLAIM = "What clients mark is their own claim."


def _count(description: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "examples": [example]})


class RecipientSchema(Answer):
    """A user whose inbox has the notification."""

    user = fields.String(required=True, metadata={"examples": ["42"]})
    delivered = fields.Boolean(required=True, metadata={"description": "It reached a client."})
    seen_at = fields.String(required=True, allow_none=True, metadata=TIME)
    read_at = fields.String(required=True, allow_none=True, metadata=TIME)
    archived_at = fields.String(required=True, allow_none=True, metadata=TIME)


class ReceiptSchema(Answer):
    """A notification, and how far it has come.

    What was not posted is left out; what was posted is gone once nobody has it any more.
    """

    id = fields.String(required=True, metadata=ID)
    status = fields.String(
        required=True,
        validate=OneOf(["scheduled", "accepted", "retracted", "expired"]),
        metadata={"description": "How it stands, by the clock of Redis."},
    )
    title = fields.String(metadata={"examples": ["Build failed"]})
    body = fields.String(metadata={"examples": ["main #812"]})
    url = fields.String(metadata={"examples": ["/builds/812"]})
    category = fields.String(metadata={"examples": ["ci"]})
    priority = fields.String(metadata={"examples": ["high"]})
    collapse_key = fields.String(metadata={"examples": ["build:main"]})
    data = fields.Dict(metadata={"examples": [{"build": 812}]})
    created_at = fields.String(required=True, metadata=TIME)
    expires_at = fields.String(required=True, allow_none=True, metadata=TIME)
    deliver_at = fields.String(
        required=True,
        allow_none=True,
        metadata={
            **TIME,
            "description": "When it is or was due, if it was scheduled; null once what was posted is gone, "
            "as when it was cancelled.",
        },
    )
    recipients = _count("Users it was for when it was accepted; rooms and `all` count none.", 3)
    delivered = _count(f"Of those who have it: how many have it on a device. {CLAIM}", 3)
    seen = _count("Likewise: how many had a look since it came.", 2)
    read = _count("Likewise: how many opened it.", 1)
    archived = _count("Likewise: how many archived it.", 0)
    users = fields.List(
        fields.Nested(RecipientSchema),
        metadata={"description": "With `recipients=true`: those whose inboxes have it, by name."},
    )
    next = fields.String(
        allow_none=True,
        metadata={
            "description": "With `recipients=true`: `after` of the next page; null on the last.",
            "examples": ["NDI"],
        },
    )


_FOUND: dict[str, Any] = {
    "id": "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E",
    "title": "Build failed",
    "priority": "high",
    "created_at": "2026-11-23T09:00:00.000Z",
    "expires_at": "2026-11-24T09:00:00.000Z",
    "status": "accepted",
    "deliver_at": None,
    "recipients": 3,
    "delivered": 2,
    "seen": 2,
    "read": 1,
    "archived": 0,
}
RECEIPTS: dict[str, Any] = {
    "the counts": _FOUND,
    "with recipients": {
        **_FOUND,
        "users": [
            {
                "user": "42",
                "delivered": True,
                "seen_at": "2026-11-23T09:05:12.000Z",
                "read_at": None,
                "archived_at": None,
            }
        ],
        "next": "NDI",
    },
}


def receipt_operations() -> dict[str, dict[str, Any]]:
    """The operations by path and method."""
    return {NOTIFICATION_PATH: {"get": _find(), "delete": _retract()}}


def _find() -> dict[str, Any]:
    return {
        "operationId": "getNotification",
        "summary": "See how far a notification has come",
        "description": "Counted from the inboxes that have it now, so it cannot drift: who has it no more, "
        f"because it was deleted or made room, counts in `recipients` alone. {CLAIM} With "
        f"`recipients=true` those who have it are listed, up to {MAX_RECIPIENTS_LISTED} on a page. Known "
        "until 24 hours after `expires_at` where it went into an inbox or was scheduled, else for the "
        "recovery window; an ephemeral one only if it was scheduled, until 24 hours after `deliver_at`. "
        "Needs the scope `read`.",
        "tags": ["notifications"],
        "parameters": [
            {"in": "path", "schema": NotificationPath},
            {"in": "query", "schema": ReceiptsQuery},
            "RequestId",
        ],
        "responses": {
            "200": answer("How it stands.", "Receipt", RECEIPTS),
            **refusals(("Unauthorized", "Forbidden", "NotFound", "Invalid", "Internal", "Unavailable")),
        },
    }


def _retract() -> dict[str, Any]:
    return {
        "operationId": "retractNotification",
        "summary": "Take a notification back",
        "description": "One that is scheduled is cancelled; one that was sent is taken out of inboxes, and "
        "every screen is told to take it off (`notification:removed`). The first piece that is delivered "
        "decides which. A client that recovers does not get it any more. If this node dies meanwhile, "
        "another finishes it. Once more is no error. Needs the scope `publish`.",
        "tags": ["notifications"],
        "parameters": [{"in": "path", "schema": NotificationPath}, "RequestId"],
        "responses": {
            "204": done("It is retracted, or was before."),
            **refusals(("Unauthorized", "Forbidden", "NotFound", "Invalid", "Internal", "Unavailable")),
        },
    }
