"""What backends post, field by field: the one source of checks, of faults and of the OpenAPI document.

`notify.ingest.fast_path` is a short cut past these schemas for what is plainly valid; what the answer to
anything else is, is decided here alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, post_load, pre_load, validates_schema
from marshmallow.validate import OneOf

from notify.domain import names
from notify.domain.channel import owner_of
from notify.domain.errors import FieldError, Invalid
from notify.domain.notifications.notification import (
    DEFAULT_EVENT,
    DEFAULT_TTL_S,
    MAX_AHEAD_MS,
    Notification,
    Target,
    inbox_fault,
)
from notify.ingest.fields import (
    MAX_DEPTH,
    MAX_URL,
    NO_OBJECT,
    UNKNOWN,
    Anything,
    Between,
    Flag,
    Inner,
    Listed,
    Moment,
    OnlyTrue,
    Rule,
    Sized,
    Text,
    Unopened,
    Whole,
    count,
    length,
    too_deep,
    url_fault,
)
from notify.ingest.http.problems import MAX_FIELD_ERRORS, pointer

MAX_USERS = 1000
MAX_ROOMS = 100
MAX_TITLE = 1024
MAX_COLLAPSE_KEY = 128
MAX_TTL_S = DEFAULT_TTL_S
MAX_AHEAD_DAYS = MAX_AHEAD_MS // 86_400_000
MAX_BATCH = 1000
MAX_FIELDS = 100
"""Most fields in one object, except `data`: no schema has as many."""
PRIORITIES = ("low", "normal", "high", "urgent")

USER = Sized(names.user_id_fault, 1, names.MAX_NAME)
ROOM = Sized(names.room_name_fault, 1, names.MAX_NAME)
CATEGORY = Sized(names.category_fault, 1, names.MAX_CATEGORY)


def collapse_key_fault(value: str) -> str | None:
    """What is wrong with a collapse key: like a user id, but shorter."""
    if not 1 <= len(value) <= MAX_COLLAPSE_KEY:
        return f"must be 1 to {MAX_COLLAPSE_KEY} characters long"
    return names.user_id_fault(value)


def room_namespace_fault(value: object) -> str | None:
    """What is wrong with a namespace that rooms are in."""
    fault = names.namespace_fault(value)
    if fault is None and owner_of(str(value)) is not None:
        fault = "must not be a user's own namespace, which has no rooms"
    return fault


class Strict(Schema):
    """A JSON object in which an unknown field is an error."""

    error_messages = {"type": NO_OBJECT, "unknown": UNKNOWN}  # noqa: RUF012 - as marshmallow has it

    @pre_load
    def _not_a_heap(self, body: object, **_: Any) -> object:
        if isinstance(body, dict) and len(body) > MAX_FIELDS:  # before each is told to be unknown
            raise ValidationError(f"must have at most {MAX_FIELDS} fields")
        return body


class TargetSchema(Strict):
    """Whom a notification is for. At least one of `user`, `users`, `room`, `rooms`, `all`, or several."""

    user = Text(
        validate=USER,
        metadata={"description": "One user, on every connection they have.", "examples": ["42"]},
    )
    users = Listed(
        Text(validate=USER),
        validate=count(1, MAX_USERS, "users"),
        metadata={
            "description": "Several users. One who is named twice gets it once.",
            "examples": [["42", "43"]],
        },
    )
    room = Text(
        validate=ROOM,
        metadata={
            "description": "Everyone in this room. Names do not begin with `@` or end with `*`.",
            "examples": ["project:7"],
        },
    )
    rooms = Listed(
        Text(validate=ROOM),
        validate=count(1, MAX_ROOMS, "rooms"),
        metadata={
            "description": "Everyone in any of these rooms. Whoever is in several gets it once.",
            "examples": [["project:7", "team:ops"]],
        },
    )
    all = OnlyTrue(
        metadata={
            "description": "Everyone connected to the namespace. Only `true` is allowed.",
            "examples": [True],
        }
    )
    except_users = Listed(
        Text(validate=USER),
        validate=count(0, MAX_USERS, "users"),
        metadata={
            "description": "Leave these users out, whichever part of the target they belong to: "
            "typically whoever caused the event.",
            "examples": [["7"]],
        },
    )

    @validates_schema(skip_on_field_errors=True)
    def _somebody(self, found: Mapping[str, Any], **_: Any) -> None:
        if not found.keys() - {"except_users"}:
            raise ValidationError("must have at least one of user, users, room, rooms, all")

    @post_load
    def _make(self, found: dict[str, Any], **_: Any) -> Target:
        users = [found["user"]] if "user" in found else []
        rooms = [found["room"]] if "room" in found else []
        return Target(
            users=tuple(dict.fromkeys(users + found.get("users", []))),
            rooms=tuple(dict.fromkeys(rooms + found.get("rooms", []))),
            all=found.get("all", False),
            except_users=frozenset(found.get("except_users", ())),
        )


class NotificationSchema(Strict):
    """A notification as it is posted."""

    to = Inner(TargetSchema, required=True, metadata={"description": "Whom it is for."})
    event = Text(
        validate=Sized(names.event_name_fault, 1, names.MAX_EVENT_NAME),
        metadata={
            "description": "The Socket.IO event that clients listen for. Names that Socket.IO or notify use "
            "themselves, such as `connect` or `session:ready`, are refused.",
            "default": DEFAULT_EVENT,
            "examples": [DEFAULT_EVENT, "build:finished"],
        },
    )
    title = Text(
        validate=length(MAX_TITLE),
        metadata={"description": "A line that says what happened.", "examples": ["Build failed"]},
    )
    body = Text(metadata={"description": "The text below the title.", "examples": ["main #812"]})
    url = Text(
        validate=Sized(url_fault, 1, MAX_URL),
        metadata={
            "description": "Where it leads to: an `http(s)://` URL or a relative path. Nothing else is "
            "accepted, so it is safe to use in a link.",
            "format": "uri-reference",
            "examples": ["https://ci.example.com/builds/812", "/builds/812"],
        },
    )
    category = Text(
        validate=CATEGORY,
        metadata={"description": "What people filter or mute by.", "examples": ["ci"]},
    )
    priority = Text(
        validate=OneOf(PRIORITIES, error="must be one of {choices}"),
        metadata={
            "description": "How much it matters; clients decide what that changes.",
            "default": "normal",
        },
    )
    data = Anything(
        validate=Rule(
            lambda value: f"must not be nested deeper than {MAX_DEPTH} levels" if too_deep(value) else None
        ),
        metadata={
            "description": f"Whatever the client needs: any JSON object, nested at most {MAX_DEPTH} "
            "levels deep. Integers beyond 64 bits arrive as doubles.",
            "examples": [{"build": 812}],
        },
    )
    ttl = Whole(
        validate=Between(0, MAX_TTL_S),
        metadata={
            "description": "Seconds until it expires. 0 makes it ephemeral: whoever is not connected now "
            "never sees it.",
            "default": DEFAULT_TTL_S,
            "examples": [86400],
        },
    )
    collapse_key = Text(
        validate=Sized(collapse_key_fault, 1, MAX_COLLAPSE_KEY),
        metadata={
            "description": "In each inbox it replaces an older notification with the same key, as a new "
            "entry on top, unseen and unread.",
            "examples": ["build:main"],
        },
    )
    deliver_at = Moment(
        metadata={
            "description": f"When it is to be delivered, at most {MAX_AHEAD_DAYS} days ahead: it is "
            "`scheduled` until then, and `ttl` counts from then. A time that has passed is now.",
            "examples": ["2026-12-01T09:00:00Z"],
        },
    )
    inbox = Flag(
        metadata={
            "description": "Whether it enters the inboxes of the users in the target. By default it does "
            "when it has a `title`, a `ttl` above 0 and the namespace `/`. `false` keeps it out; `true` is "
            "refused when it cannot enter one: rooms and `all` have no inbox.",
            "examples": [False],
        },
    )
    namespace = Text(
        validate=Sized(names.namespace_fault, 1, names.MAX_NAMESPACE),
        metadata={
            "description": "The Socket.IO namespace. In a user's own namespace, `/users/<id>`, the target is "
            "`all` or that user.",
            "default": "/",
            "examples": ["/"],
        },
    )

    @validates_schema(skip_on_field_errors=True)
    def _only_the_owner(self, found: Mapping[str, Any], **_: Any) -> None:
        namespace = found.get("namespace", "/")
        owner = owner_of(namespace)
        if owner is None:
            return
        target: Target = found["to"]
        if target.rooms or not set(target.users) <= {owner}:
            raise ValidationError(f"must be all or the user {owner} in the namespace {namespace}", "to")

    @validates_schema(skip_on_field_errors=True)
    def _has_an_inbox(self, found: Mapping[str, Any], **_: Any) -> None:
        if not found.get("inbox"):
            return
        fault = inbox_fault(
            found["to"], found.get("namespace", "/"), found.get("title"), found.get("ttl", DEFAULT_TTL_S)
        )
        if fault is not None:
            raise ValidationError(fault, "inbox")

    @post_load
    def _make(self, found: dict[str, Any], **_: Any) -> Notification:
        found["target"] = found.pop("to")
        for name, inside in (("ttl", "ttl_s"), ("deliver_at", "deliver_at_ms")):
            if name in found:
                found[inside] = found.pop(name)
        return Notification(**found)


class BatchSchema(Strict):
    """Several notifications in one request. Each is judged by itself."""

    notifications = Unopened(
        Inner(NotificationSchema),
        required=True,
        validate=count(1, MAX_BATCH, "notifications"),
        metadata={"description": "The notifications. Invalid ones do not hold back the others."},
    )


class UserPath(Strict):
    """The path of a user."""

    id = Text(
        required=True,
        validate=USER,
        metadata={"description": "The user's id, as in `sub` of their tokens.", "examples": ["42"]},
    )


class RoomPath(Strict):
    """The path of a room."""

    room = Text(
        required=True, validate=ROOM, metadata={"description": "The room's name.", "examples": ["project:7"]}
    )


class RoomUserPath(RoomPath, UserPath):
    """The path of a user in a room."""


class RoomQuery(Strict):
    """Where a room is."""

    namespace = Text(
        load_default="/",
        validate=Sized(room_namespace_fault, 1, names.MAX_NAMESPACE),
        metadata={
            "description": "The Socket.IO namespace of the room; a user's own has none.",
            "examples": ["/"],
        },
    )


class NoQuery(Strict):
    """No parameters."""


class DisconnectSchema(Strict):
    """How a user is disconnected. The body may be left out."""

    revoke = Flag(
        load_default=False,
        metadata={
            "description": "Refuse, from now on, all tokens of the user that were issued up to now (`iat`).",
            "examples": [True],
        },
    )


NOTIFICATION = NotificationSchema()
BATCH = BatchSchema()
DISCONNECT = DisconnectSchema()


def load(schema: Schema, body: object, *path: str | int) -> Any:
    """`body` as `schema` makes it. Raises Invalid, with pointers that begin with `path`."""
    try:
        return schema.load(body)  # type: ignore[arg-type]
    except ValidationError as error:
        error.__traceback__ = None  # marshmallow raises it from a frame that holds it, and the body
        raise invalid(error, body, *path) from None


def invalid(error: ValidationError, body: object, *path: str | int) -> Invalid:
    """marshmallow's findings as an error of ours."""
    faults = list(_faults(error.messages, body, path))
    where = ", ".join(fault.pointer or "the body" for fault in faults[:3])
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    if len(faults) == 1:
        detail = f"{faults[0].pointer or 'The body'} {faults[0].detail}"
    else:
        detail = f"{len(faults)} faults, at {where}{more}"
    return Invalid(detail[:500], errors=faults[:MAX_FIELD_ERRORS])


def _faults(messages: Any, body: object, path: tuple[str | int, ...]) -> Iterator[FieldError]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            if key != "_schema":
                yield from _faults(
                    below, body[key] if isinstance(body, dict) and key in body else None, (*path, key)
                )
                continue
            # marshmallow's name for the object itself; or an unknown field that somebody called so
            for message in below if isinstance(below, list) else [below]:
                its_own = message == UNKNOWN and isinstance(body, dict) and "_schema" in body
                yield from _faults(message, None, (*path, key) if its_own else path)
    elif isinstance(messages, list):
        for message in messages:
            yield from _faults(message, None, path)
    else:
        yield FieldError(pointer(*path), str(messages))
