"""The answers as schemas, for the OpenAPI document only: rendering does not use them."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields
from marshmallow.validate import OneOf

ID = {"description": "The notification's id.", "examples": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]}
MOMENT = {"examples": ["2026-11-23T09:00:00.000Z"]}


class Answer(Schema):
    """An answer may get more members one day: callers must ignore those they do not know."""

    class Meta(Schema.Meta):
        """marshmallow's options; apispec reads them."""

        unknown = EXCLUDE


class AcceptedSchema(Answer):
    """Redis holds the notification: every socket of its target gets it."""

    id = fields.String(required=True, metadata=ID)
    status = fields.String(
        required=True,
        validate=OneOf(["accepted", "scheduled"]),
        metadata={"description": "`scheduled` when it waits for its `deliver_at`."},
    )
    created_at = fields.DateTime(
        required=True, metadata={"description": "When it was accepted, in UTC.", **MOMENT}
    )
    expires_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "When its `ttl` ends; null for an ephemeral one.", **MOMENT},
    )
    deliver_at = fields.DateTime(
        metadata={"description": "When it is delivered, for one that is `scheduled`.", **MOMENT}
    )


class FaultSchema(Answer):
    """What is wrong with one field."""

    pointer = fields.String(
        required=True,
        metadata={
            "description": "Where: a JSON pointer (RFC 6901) into the request's body, or `/path/<name>` "
            "or `/query/<name>` for the URL.",
            "examples": ["/to/users/0"],
        },
    )
    detail = fields.String(
        required=True,
        metadata={
            "description": "What is wrong, as the end of a sentence.",
            "examples": ["must be a string"],
        },
    )


class ProblemSchema(Answer):
    """An error (RFC 9457). Branch on `code`; everything else is for people."""

    type = fields.String(
        required=True,
        metadata={
            "description": "The code as a URI.",
            "format": "uri",
            "examples": ["urn:notify:error:invalid"],
        },
    )
    title = fields.String(
        required=True,
        metadata={"description": "The kind of error in words.", "examples": ["The request is not valid"]},
    )
    status = fields.Integer(required=True, metadata={"description": "The HTTP status.", "examples": [422]})
    detail = fields.String(
        required=True,
        metadata={"description": "What happened this time.", "examples": ["/to/users/0 must be a string"]},
    )
    code = fields.String(
        required=True, metadata={"description": "The kind of error; stable.", "examples": ["invalid"]}
    )
    errors = fields.List(
        fields.Nested(FaultSchema),
        required=True,
        metadata={"description": "The first 20 wrong fields; empty when no field is to blame."},
    )


class ResultSchema(Answer):
    """What became of one notification of a batch: `error` when it was rejected, else what a POST of it alone
    is answered.
    """

    index = fields.Integer(
        required=True, metadata={"description": "Its place in the request, from 0.", "examples": [0]}
    )
    status = fields.String(
        required=True,
        validate=OneOf(["accepted", "scheduled", "rejected"]),
        metadata={"description": "Whether Redis holds it, and whether it waits for its `deliver_at`."},
    )
    id = fields.String(metadata=ID)
    created_at = fields.DateTime(metadata={"description": "When it was accepted, in UTC.", **MOMENT})
    expires_at = fields.DateTime(
        allow_none=True,
        metadata={"description": "When its `ttl` ends; null for an ephemeral one.", **MOMENT},
    )
    deliver_at = fields.DateTime(
        metadata={"description": "When it is delivered, for one that is `scheduled`.", **MOMENT}
    )
    error = fields.Nested(ProblemSchema, metadata={"description": "Why it was rejected."})


class BatchResultSchema(Answer):
    """What became of a batch."""

    accepted = fields.Integer(
        required=True, metadata={"description": "How many were accepted or scheduled.", "examples": [2]}
    )
    rejected = fields.Integer(required=True, metadata={"description": "How many were not.", "examples": [1]})
    results = fields.List(
        fields.Nested(ResultSchema),
        required=True,
        metadata={"description": "One for each notification of the request, in its order."},
    )


class BatchProblemSchema(ProblemSchema):
    """A batch of which nothing was accepted; with the result of each when it could be read."""

    accepted = fields.Integer(metadata={"description": "Always 0.", "examples": [0]})
    rejected = fields.Integer(metadata={"description": "How many were not accepted.", "examples": [1]})
    results = fields.List(
        fields.Nested(ResultSchema),
        metadata={"description": "One for each notification of the request, in its order."},
    )


class ConnectionSchema(Answer):
    """One connection of a user in one namespace."""

    sid = fields.String(
        required=True,
        metadata={
            "description": "Its Socket.IO id, the client's `socket.id`.",
            "examples": ["Zm9vYmFyYmF6cXV4"],
        },
    )
    namespace = fields.String(
        required=True, metadata={"description": "The namespace it is in.", "examples": ["/"]}
    )
    node = fields.String(
        required=True, metadata={"description": "The node it is connected to.", "examples": ["notify-0"]}
    )
    transport = fields.String(
        required=True,
        validate=OneOf(["websocket", "polling"]),
        metadata={"description": "How it is connected just now."},
    )
    since = fields.DateTime(
        required=True,
        metadata={
            "description": "When it connected, in UTC; a recovery counts as a new connection.",
            **MOMENT,
        },
    )


class PresenceSchema(Answer):
    """Where a user is connected now, over all nodes."""

    online = fields.Boolean(
        required=True, metadata={"description": "True with at least one connection.", "examples": [True]}
    )
    connections = fields.List(
        fields.Nested(ConnectionSchema),
        required=True,
        metadata={"description": "All of them, the oldest first."},
    )
    last_seen = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "When the last connection ended, in UTC. Null while there is one, and when it is "
            "not known: there was none for 30 days, or its node died.",
            **MOMENT,
        },
    )


def _silent() -> fields.List[str]:
    return fields.List(
        fields.String(),
        metadata={
            "description": "Running nodes that did not answer within a second, if there are any. They carry "
            "it out when they hear the others again.",
            "examples": [["node-3"]],
        },
    )


class DisconnectedSchema(Answer):
    """What a disconnect did."""

    disconnected = fields.Integer(
        required=True, metadata={"description": "How many connections were ended.", "examples": [2]}
    )
    revoked = fields.Boolean(
        required=True,
        metadata={"description": "Whether the user's tokens were revoked, too.", "examples": [True]},
    )
    silent = _silent()


class RoomSchema(Answer):
    """A room, over all nodes."""

    room = fields.String(required=True, metadata={"description": "Its name.", "examples": ["project:7"]})
    namespace = fields.String(required=True, metadata={"description": "Its namespace.", "examples": ["/"]})
    connections = fields.Integer(
        required=True,
        metadata={
            "description": "How many connections are in it; 0 for a room never heard of.",
            "examples": [12],
        },
    )


class MembershipSchema(Answer):
    """What became of a user in a room."""

    room = fields.String(required=True, metadata={"description": "The room.", "examples": ["project:7"]})
    user = fields.String(required=True, metadata={"description": "The user.", "examples": ["42"]})
    connections = fields.Integer(
        required=True,
        metadata={
            "description": "After PUT, how many connections of the user are in the room; after DELETE, how "
            "many were taken out of it.",
            "examples": [2],
        },
    )
    silent = _silent()
