"""Every event between clients and nodes: its name, its argument, its acknowledgement. The one place of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema

from notify.domain.notifications.notification import DEFAULT_EVENT
from notify.ingest.asyncapi.schemas import (
    ChangedSchema,
    ExpiringSchema,
    JoinedSchema,
    LeftSchema,
    ListedSchema,
    ListSchema,
    MarkedAnswerSchema,
    PushedSchema,
    ReadySchema,
    RefreshedSchema,
    RefreshSchema,
    RemovedSchema,
    ResetSchema,
    RoomNameSchema,
    SendSchema,
    SentSchema,
    TakenSchema,
    UnchangedSchema,
)
from notify.ingest.inbox_schemas import MarkSchema
from notify.ingest.openapi import inbox

Schemas = tuple[type[Schema], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. The first argument is one of `argument`, an object; `examples` are such objects by name.

    `offset`: a string follows as the second argument, for Socket.IO's own recovery. `answer` is what the
    acknowledgement holds when it went well, empty for what the server sends. `own`: `/users/<id>` has it too.
    """

    name: str
    summary: str
    description: str
    argument: Schemas
    examples: Mapping[str, dict[str, Any]]
    offset: bool = False
    answer: Schemas = ()
    answers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    own: bool = True

    @property
    def from_server(self) -> bool:
        """True when nodes send it, false when clients do."""
        return not self.answer


_PUSHED = {
    "id": "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E",
    "title": "Build failed",
    "body": "main #812",
    "url": "/builds/812",
    "category": "ci",
    "priority": "high",
    "data": {"build": 812},
    "created_at": "2026-11-23T09:00:00.000Z",
    "expires_at": "2026-11-24T09:00:00.000Z",
}
_COUNTS = {"unseen": 1, "unread": 3, "total": 120}
_AT = "2026-11-23T09:05:12.000Z"

EVENTS: tuple[Event, ...] = (
    Event(
        name="session:ready",
        summary="The connection is in",
        description="The first event after each connect, before anything that was missed.",
        argument=(ReadySchema,),
        examples={
            "a new session": {
                "user": "42",
                "node": "notify-0",
                "recovered": False,
                "inbox": {"rev": 1795650953811, "unseen": 1, "unread": 3},
            },
            "one that goes on": {
                "user": "42",
                "node": "notify-1",
                "recovered": True,
                "inbox": {"rev": 1795650953811, "unseen": 1, "unread": 3},
                "joined": [],
                "left": ["project:7"],
            },
        },
    ),
    Event(
        name="session:expiring",
        summary="The token runs out soon",
        description="Answer it with `session:refresh`, or the connection ends with the token. It comes a "
        "minute before, or a tenth of the token's time if that is less, but 5 seconds at least.",
        argument=(ExpiringSchema,),
        examples={"in a minute": {"expires_in": 60}},
    ),
    Event(
        name=DEFAULT_EVENT,
        summary="A notification",
        description="What a backend posted, to the user, to a room they are in, or to all. The event has "
        "the name that was posted as `event`; `notification` when none was.",
        argument=(PushedSchema,),
        examples={
            "into the inbox": {
                **_PUSHED,
                "inbox": {"rev": 1795650953812, "place": 1795650953812, "unseen": 2, "unread": 4},
            },
            "to a room": _PUSHED,
        },
        offset=True,
    ),
    Event(
        name="inbox:changed",
        summary="The inbox has changed",
        description="Somebody marked entries: a device of this user, this one included, or the backend. "
        'With `as: "reset"`, after a recovery, it says how the inbox stands.',
        argument=(ChangedSchema, ResetSchema),
        examples={
            "one, read": {
                "as": "read",
                "ids": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"],
                "at": _AT,
                "rev": 1795650953813,
                "counts": _COUNTS,
            },
            "all of a category, seen": {
                "as": "seen",
                "up_to": 1795650953811,
                "category": "ci",
                "at": _AT,
                "rev": 1795650953813,
                "counts": _COUNTS,
            },
            "after a recovery": {"as": "reset", "rev": 1795650953813, "counts": _COUNTS},
        },
        offset=True,
    ),
    Event(
        name="notification:removed",
        summary="Notifications are gone",
        description="Entries have left the inbox: take them off the screen.",
        argument=(RemovedSchema,),
        examples={
            "under a newer one": {
                "ids": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"],
                "reason": "collapsed",
                "rev": 1795650953814,
                "counts": _COUNTS,
            }
        },
        offset=True,
    ),
    Event(
        name="message",
        summary="From another client",
        description="What another client sent with `send`. The event has the name that was sent as `event`; "
        "`message` when none was.",
        argument=(SentSchema,),
        examples={"to a room": {"from": "42", "to": {"room": "project:7"}, "data": {"text": "Hello"}}},
        offset=True,
        own=False,
    ),
    Event(
        name="room:join",
        summary="Enter a room",
        description="The token's `rooms` or `join` must allow it.",
        argument=(RoomNameSchema,),
        examples={"a project": {"room": "project:7"}},
        answer=(JoinedSchema,),
        answers={"in": {"ok": True, "room": "project:7"}},
        own=False,
    ),
    Event(
        name="room:leave",
        summary="Leave a room",
        description="What goes to the room does not reach this connection any more.",
        argument=(RoomNameSchema,),
        examples={"a project": {"room": "project:7"}},
        answer=(LeftSchema,),
        answers={"out": {"ok": True, "room": "project:7", "left": True}},
        own=False,
    ),
    Event(
        name="send",
        summary="Send to another client",
        description="To a user on all their connections, or to a room, on whichever nodes they are.",
        argument=(SendSchema,),
        examples={
            "to a room": {"to": {"room": "project:7"}, "data": {"text": "Hello"}},
            "to a user": {"to": {"user": "43"}, "event": "message", "data": {"text": "Hello"}},
        },
        answer=(TakenSchema,),
        answers={"taken": {"ok": True, "offset": "1795650953812-0.AbCd"}},
    ),
    Event(
        name="inbox:list",
        summary="List the inbox",
        description="A page of one's own, as `GET /v1/users/{id}/inbox` answers it. At most 4 at a time.",
        argument=(ListSchema,),
        examples={"what is unread": {"status": "unread", "limit": 5}, "if it has changed": {"if_rev": 7}},
        answer=(ListedSchema, UnchangedSchema),
        answers={
            "a page": {"ok": True, **inbox.PAGES["one entry"]},
            "as it was": {"ok": True, "unchanged": True},
        },
    ),
    Event(
        name="inbox:mark",
        summary="Mark entries of the inbox",
        description="`ids`, or everything `up_to` an entry. All connections of the user are told, this one "
        "too, by `inbox:changed` or `notification:removed`.",
        argument=(MarkSchema,),
        examples=inbox.MARKS,
        answer=(MarkedAnswerSchema,),
        answers={"one": {"ok": True, **inbox.MARKED["one"]}},
    ),
    Event(
        name="session:refresh",
        summary="Go on with a newer token",
        description="Of the same user. Rooms that it does not allow are left, those that only it joins are "
        "joined.",
        argument=(RefreshSchema,),
        examples={"a newer one": {"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"}},
        answer=(RefreshedSchema,),
        answers={"for an hour": {"ok": True, "expires_in": 3600, "joined": [], "left": []}},
    ),
)
