"""The calls about inboxes, in the OpenAPI document, and what they are answered."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from notify.domain.inbox import MAX_MARKED
from notify.ingest.inbox import INBOX_PATH, MARK_PATH, MAX_BODY
from notify.ingest.inbox_schemas import InboxQuery
from notify.ingest.openapi.operation import answer, body, refusals
from notify.ingest.openapi.responses import Answer
from notify.ingest.schemas import UserPath

REV = "Counts the changes of this inbox; `counts` belong to it. Ignore what is not newer than what you have."
TIME = {"format": "date-time", "examples": ["2026-11-23T09:05:12.000Z"]}


class CountsSchema(Answer):
    """Of the entries that are neither archived nor snoozed."""

    unseen = fields.Integer(
        required=True, metadata={"description": "The number on the bell.", "examples": [3]}
    )
    unread = fields.Integer(required=True, metadata={"description": "How many have a dot.", "examples": [9]})
    total = fields.Integer(required=True, metadata={"description": "All of them.", "examples": [120]})


class EntrySchema(Answer):
    """A notification in an inbox. Fields that were not posted are left out."""

    id = fields.String(required=True, metadata={"examples": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]})
    place = fields.Integer(
        required=True,
        metadata={
            "description": "The order of the list, newest first: the `rev` that brought the entry.",
            "examples": [1795650953811],
        },
    )
    title = fields.String(metadata={"examples": ["Build failed"]})
    body = fields.String(metadata={"examples": ["main #812"]})
    url = fields.String(metadata={"examples": ["/builds/812"]})
    category = fields.String(metadata={"examples": ["ci"]})
    collapse_key = fields.String(metadata={"examples": ["build:main"]})
    priority = fields.String(required=True, metadata={"examples": ["high"]})
    data = fields.Dict(metadata={"examples": [{"build": 812}]})
    created_at = fields.String(required=True, metadata=TIME)
    deliver_at = fields.String(
        metadata={**TIME, "description": "The time it was scheduled for, if it was: it came then."}
    )
    expires_at = fields.String(required=True, metadata=TIME)
    seen_at = fields.String(
        required=True, allow_none=True, metadata={**TIME, "description": "When it was seen."}
    )
    read_at = fields.String(
        required=True, allow_none=True, metadata={**TIME, "description": "When it was opened."}
    )
    archived_at = fields.String(required=True, allow_none=True, metadata=TIME)
    snoozed_until = fields.String(
        required=True, allow_none=True, metadata={**TIME, "description": "When it comes back on top."}
    )


class PageSchema(Answer):
    """A page of an inbox."""

    data = fields.List(fields.Nested(EntrySchema), required=True, metadata={"description": "Newest first."})
    next = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The `after` of the next page; null on the last.",
            "examples": ["1795650953811"],
        },
    )
    rev = fields.Integer(required=True, metadata={"description": REV, "examples": [1795650953812]})
    counts = fields.Nested(CountsSchema, required=True)
    categories = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(CountsSchema),
        metadata={"description": "With `by=category`: the counts of each category in the whole inbox."},
    )


class MarkedSchema(Answer):
    """What a mark has changed."""

    changed = fields.Integer(
        required=True,
        metadata={"description": "How many entries changed; 0 when repeated.", "examples": [17]},
    )
    missing = fields.List(
        fields.String(), required=True, metadata={"description": "Ids that are not in this inbox."}
    )
    rev = fields.Integer(required=True, metadata={"description": REV, "examples": [1795650953813]})
    counts = fields.Nested(CountsSchema, required=True)


COUNTS = {"unseen": 1, "unread": 1, "total": 1}
PAGES: dict[str, Any] = {
    "one entry": {
        "data": [
            {
                "id": "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E",
                "place": 1795650953811,
                "title": "Build failed",
                "body": "main #812",
                "url": "/builds/812",
                "category": "ci",
                "priority": "high",
                "data": {"build": 812},
                "created_at": "2026-11-23T09:00:00.000Z",
                "expires_at": "2026-11-24T09:00:00.000Z",
                "seen_at": None,
                "read_at": None,
                "archived_at": None,
                "snoozed_until": None,
            }
        ],
        "next": None,
        "rev": 1795650953811,
        "counts": COUNTS,
        "categories": {"ci": COUNTS},
    }
}
MARKS: dict[str, Any] = {
    "one, read": {"as": "read", "ids": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]},
    "all of a category, seen": {"as": "seen", "up_to": 1795650953811, "category": "ci"},
}
MARKED: dict[str, Any] = {
    "one": {
        "changed": 1,
        "missing": [],
        "rev": 1795650953812,
        "counts": {"unseen": 0, "unread": 0, "total": 1},
    }
}


def inbox_operations() -> dict[str, dict[str, Any]]:
    """The operations by path and method."""
    return {INBOX_PATH: {"get": _list()}, MARK_PATH: {"post": _mark()}}


def _list() -> dict[str, Any]:
    page = answer("A page.", "Page", PAGES, ETag="ETag")
    return {
        "operationId": "listInbox",
        "summary": "List a user's inbox",
        "description": "What came for the user and has not expired, newest first, whether they were "
        "connected or not. The answer has an `ETag`: with `If-None-Match` it is 304 while nothing has "
        "changed, and with `*` always. Counts are exact, and cover everything that is neither archived nor "
        "snoozed. Needs the scope `read`.",
        "tags": ["inboxes"],
        "parameters": [
            {"in": "path", "schema": UserPath},
            {"in": "query", "schema": InboxQuery},
            "IfNoneMatch",
            "RequestId",
        ],
        "responses": {
            "200": page,
            "304": {
                "description": "Nothing has changed since the answer with that `ETag`.",
                "headers": {
                    name: {"$ref": f"#/components/headers/{component}"}
                    for name, component in {"X-Request-Id": "RequestId", "ETag": "ETag"}.items()
                },
            },
            **refusals(("Unauthorized", "Forbidden", "Invalid", "Internal", "Unavailable")),
        },
    }


def _mark() -> dict[str, Any]:
    return {
        "operationId": "markInbox",
        "summary": "Mark entries of a user's inbox",
        "description": f"Up to {MAX_MARKED} `ids`, or everything `up_to` an entry. Every connection of the "
        "user is told by one `inbox:changed` (or `notification:removed`). Repeating it changes nothing and "
        "notifies nobody. "
        f"The body may be {MAX_BODY} bytes long. Needs the scope `admin`.",
        "tags": ["inboxes"],
        "parameters": [{"in": "path", "schema": UserPath}, "RequestId"],
        "requestBody": body("Mark", MARKS),
        "responses": {
            "200": answer("The entries are marked.", "Marked", MARKED),
            **refusals(
                (
                    "BadRequest",
                    "Unauthorized",
                    "Forbidden",
                    "Invalid",
                    "TooLarge",
                    "UnsupportedMedia",
                    "Internal",
                    "Unavailable",
                )
            ),
        },
    }
