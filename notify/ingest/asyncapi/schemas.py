"""The arguments of events and of their acknowledgements, as schemas: for the AsyncAPI document only."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import fields
from marshmallow.validate import OneOf, Range

from notify.domain.inbox import DEFAULT_LISTED, MAX_LISTED, STATUSES, MarkAs, RemovedBecause
from notify.domain.names import MAX_CATEGORY
from notify.ingest.openapi.inbox import REV, TIME, CountsSchema, MarkedSchema, PageSchema
from notify.ingest.openapi.responses import Answer, FaultSchema
from notify.ingest.schemas import MAX_TITLE, PRIORITIES

ID = {"description": "The notification's id.", "examples": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]}
TOLD = tuple(what for what in get_args(MarkAs) if what not in {"delivered", "deleted"})
"""The marks that `inbox:changed` tells of: `deleted` is a `notification:removed`, `delivered` is not told."""


def _whole(description: str, example: int, *, required: bool = True) -> fields.Integer:
    return fields.Integer(required=required, metadata={"description": description, "examples": [example]})


def _text(description: str, example: str, *, required: bool = True) -> fields.String:
    return fields.String(required=required, metadata={"description": description, "examples": [example]})


def _rev() -> fields.Integer:
    return _whole(REV, 1795650953812)


def _ids(description: str, *, required: bool = False) -> fields.List[str]:
    examples = {"examples": [["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]]}
    return fields.List(fields.String(), required=required, metadata={"description": description, **examples})


def _rooms(description: str, *, required: bool = False) -> fields.List[str]:
    return fields.List(
        fields.String(),
        required=required,
        metadata={"description": description, "examples": [["project:7"]]},
    )


# -- from the server ----------------------------------------------------------------------------------


class BadgeSchema(Answer):
    """What a bell needs, where there is an inbox: in `/` and `/users/<id>`. Take it as it is."""

    rev = _rev()
    unseen = _whole("What the bell shows.", 3)
    unread = _whole("What has a dot.", 9)


class PlacedSchema(BadgeSchema):
    """Only when it went into the user's inbox: put the numbers on the bell, and add nothing yourself."""

    place = _whole("The order of the list, newest first: the `rev` that brought it.", 1795650953812)


class PushedSchema(Answer):
    """A notification, as it reaches clients. Fields that were not posted are left out."""

    id = fields.String(required=True, metadata=ID)
    title = fields.String(
        metadata={
            "description": "A line that says what happened.",
            "maxLength": MAX_TITLE,
            "examples": ["Build failed"],
        }
    )
    body = _text("The text below the title.", "main #812", required=False)
    url = fields.String(
        metadata={
            "description": "Where it leads to: an `http(s)://` URL or a relative path, nothing else.",
            "format": "uri-reference",
            "examples": ["/builds/812"],
        }
    )
    category = fields.String(
        metadata={
            "description": "What people filter or mute by.",
            "maxLength": MAX_CATEGORY,
            "examples": ["ci"],
        }
    )
    collapse_key = _text(
        "It has taken the place of an older one with the same key.", "build:main", required=False
    )
    priority = fields.String(
        required=True,
        validate=OneOf(PRIORITIES),
        metadata={"description": "How much it matters; you decide what that changes."},
    )
    data = fields.Dict(metadata={"description": "As it was posted.", "examples": [{"build": 812}]})
    created_at = fields.String(required=True, metadata={"description": "When it was accepted.", **TIME})
    deliver_at = fields.String(
        metadata={
            "description": "When it was due, if it was scheduled: show that, not `created_at`.",
            **TIME,
        }
    )
    expires_at = fields.String(
        metadata={
            "description": "When its `ttl` ends; not there for an ephemeral one (`ttl: 0`).",
            **TIME,
        }
    )
    inbox = fields.Nested(PlacedSchema)


class ReadySchema(Answer):
    """The session of a connection."""

    user = _text("Who is connected: `sub` of the token.", "42")
    node = _text("The node it is connected to.", "notify-0")
    recovered = fields.Boolean(
        required=True,
        metadata={
            "description": "True when a session goes on, and what was missed follows. False when it "
            "begins: ask for the list again."
        },
    )
    inbox = fields.Nested(BadgeSchema)
    joined = _rooms("After a recovery: rooms that the newer token joins, and the one before did not.")
    left = _rooms(
        "After a recovery: rooms that the token does not allow any more, or that it was taken out of."
    )


class ExpiringSchema(Answer):
    """The token runs out."""

    expires_in = fields.Integer(
        required=True,
        validate=Range(min=0),
        metadata={"description": "In so many seconds.", "examples": [60]},
    )


class ChangedSchema(Answer):
    """Entries were marked: those in `ids`, or everything `up_to` a place."""

    as_ = fields.String(
        required=True,
        data_key="as",
        validate=OneOf(TOLD),
        metadata={"description": "What they are now.", "examples": ["read"]},
    )
    ids = _ids("These entries; or `up_to`.")
    up_to = _whole(
        "The entry at this `place` and all older ones, of those neither archived nor snoozed.",
        1795650953811,
        required=False,
    )
    category = _text("Of what `up_to` reaches, only this category.", "ci", required=False)
    until = fields.String(metadata={"description": "For `snoozed`: when they come back.", **TIME})
    at = fields.String(required=True, metadata={"description": "When it was done.", **TIME})
    rev = _rev()
    counts = fields.Nested(CountsSchema, required=True)


class ResetSchema(Answer):
    """The inbox as it stands after a recovery: ask for the list again, if `rev` is not what you have."""

    as_ = fields.String(required=True, data_key="as", validate=OneOf(["reset"]))
    rev = _rev()
    counts = fields.Nested(CountsSchema, required=True)


class RemovedSchema(Answer):
    """Entries are gone from the inbox."""

    ids = _ids("Take these off the screen.", required=True)
    reason = fields.String(
        required=True,
        validate=OneOf(get_args(RemovedBecause)),
        metadata={
            "description": "`retracted` by the backend, `expired` with its `ttl`, `collapsed` under a newer "
            "one, `trimmed` from a full inbox, `deleted` by the user."
        },
    )
    rev = _rev()
    counts = fields.Nested(CountsSchema, required=True)


class AddressSchema(Answer):
    """One of `user` and `room`; the token's `send` must allow it."""

    user = _text("A user's id.", "43", required=False)
    room = _text("A room's name.", "project:7", required=False)


class SentSchema(Answer):
    """What another client sent."""

    from_ = fields.String(
        required=True,
        data_key="from",
        metadata={"description": "The user who sent it, by their token.", "examples": ["42"]},
    )
    to = fields.Nested(AddressSchema, required=True)
    data = fields.Raw(required=True, metadata={"description": "Any JSON.", "examples": [{"text": "Hello"}]})


# -- from the client, and what it is answered ---------------------------------------------------------


def _ok() -> fields.Boolean:
    return fields.Boolean(
        required=True, metadata={"description": "It was done.", "const": True, "examples": [True]}
    )


class ErrorSchema(Answer):
    """Why not. Branch on `code`; everything else is for people."""

    code = _text("The kind of error; stable.", "forbidden")
    detail = _text("What happened this time.", "The token does not allow the room 'project:8'")
    retryable = fields.Boolean(
        required=True, metadata={"description": "Whether it may be better soon.", "examples": [False]}
    )
    errors = fields.List(
        fields.Nested(FaultSchema), metadata={"description": "The fields that are wrong, if any are."}
    )


class RefusedSchema(Answer):
    """It was not done."""

    ok = fields.Boolean(
        required=True, metadata={"description": "It was not done.", "const": False, "examples": [False]}
    )
    error = fields.Nested(ErrorSchema, required=True)


class RoomNameSchema(Answer):
    """A room."""

    room = _text("The room's name.", "project:7")


class JoinedSchema(RoomNameSchema):
    """The connection is in the room."""

    ok = _ok()


class LeftSchema(RoomNameSchema):
    """The connection is not in the room."""

    ok = _ok()
    left = fields.Boolean(
        required=True, metadata={"description": "Whether it was in it.", "examples": [True]}
    )


class SendSchema(Answer):
    """Something for another client."""

    to = fields.Nested(AddressSchema, required=True)
    event = fields.String(
        metadata={
            "description": "The event that they get: `message` when left out, or another that "
            "NOTIFY_SEND_EVENTS allows.",
            "examples": ["message"],
        }
    )
    data = fields.Raw(
        metadata={
            "description": "Any JSON without binary, nested at most 250 deep.",
            "examples": [{"text": "Hello"}],
        }
    )


class TakenSchema(Answer):
    """It is on its way, in order with all the rest."""

    ok = _ok()
    offset = _text("Where it stands in that order; opaque.", "1795650953812-0.AbCd")


class ListSchema(Answer):
    """Which entries of one's own inbox."""

    limit = fields.Integer(
        validate=Range(min=0, max=MAX_LISTED),
        metadata={
            "description": f"Entries on a page, at most; one ends earlier at 256 KiB. 0: the counts alone. "
            f"Default: `{DEFAULT_LISTED}`.",
            "examples": [DEFAULT_LISTED],
        },
    )
    after = _text("The `next` of the page before.", "1795650953811", required=False)
    status = fields.String(
        validate=OneOf(sorted(STATUSES)),
        metadata={"description": "`all` is what is neither archived nor snoozed. Default: `all`."},
    )
    category = fields.Raw(
        metadata={
            "description": "This category, or any of several.",
            "type": ["string", "array"],
            "maxLength": MAX_CATEGORY,
            "items": {"type": "string", "maxLength": MAX_CATEGORY},
            "examples": ["ci", ["ci", "billing"]],
        }
    )
    by = fields.String(
        validate=OneOf(["category"]), metadata={"description": "Counts for each category too."}
    )
    if_rev = _whole(
        "The `rev` that you have: while it holds, the answer is `unchanged`.",
        1795650953812,
        required=False,
    )


class ListedSchema(PageSchema):
    """A page of the inbox."""

    ok = _ok()


class UnchangedSchema(Answer):
    """The inbox is as it was at `if_rev`."""

    ok = _ok()
    unchanged = fields.Boolean(required=True, metadata={"const": True, "examples": [True]})


class MarkedAnswerSchema(MarkedSchema):
    """What the mark has changed."""

    ok = _ok()


class RefreshSchema(Answer):
    """A newer token of the same user."""

    token = _text("A JWT.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl")


class RefreshedSchema(Answer):
    """The session goes on with it."""

    ok = _ok()
    expires_in = _whole("Seconds until the newer token runs out.", 3600)
    joined = _rooms("Rooms that it joins, and the one before did not.", required=True)
    left = _rooms("Rooms that it does not allow.", required=True)


SCHEMAS: dict[str, Any] = {
    "Badge": BadgeSchema,
    "Placed": PlacedSchema,
    "Notification": PushedSchema,
    "Ready": ReadySchema,
    "Expiring": ExpiringSchema,
    "Changed": ChangedSchema,
    "Reset": ResetSchema,
    "Removed": RemovedSchema,
    "Address": AddressSchema,
    "Sent": SentSchema,
    "Error": ErrorSchema,
    "Refused": RefusedSchema,
    "RoomName": RoomNameSchema,
    "Joined": JoinedSchema,
    "Left": LeftSchema,
    "Send": SendSchema,
    "Taken": TakenSchema,
    "List": ListSchema,
    "Listed": ListedSchema,
    "Unchanged": UnchangedSchema,
    "MarkedAnswer": MarkedAnswerSchema,
    "Refresh": RefreshSchema,
    "Refreshed": RefreshedSchema,
}
"""By the names that they have in the document, beside those that they share with the OpenAPI document."""
