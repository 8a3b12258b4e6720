"""Examples for the OpenAPI document. tests/ingest/openapi/test_document.py posts every one of them."""

from __future__ import annotations

from typing import Any

from notify.domain import errors
from notify.domain.errors import FieldError, NotifyError
from notify.ingest.http.problems import none_accepted, problem

NOTIFICATIONS: dict[str, dict[str, Any]] = {
    "a user": {
        "to": {"user": "42"},
        "title": "Build failed",
        "body": "main #812",
        "url": "https://ci.example.com/builds/812",
        "category": "ci",
        "priority": "high",
        "data": {"build": 812},
        "ttl": 86400,
    },
    "a room, but not its author": {
        "to": {"room": "project:7", "except_users": ["42"]},
        "event": "comment:added",
        "data": {"comment": 1093, "author": "42"},
    },
    "everyone, now or never": {
        "to": {"all": True},
        "title": "Restart in five minutes",
        "priority": "urgent",
        "ttl": 0,
    },
    "users and rooms, each once": {
        "to": {"users": ["42", "43"], "rooms": ["project:7", "team:ops"]},
        "title": "Release 3.1 is out",
        "url": "/releases/3.1",
    },
    "tomorrow morning": {
        "to": {"user": "42"},
        "title": "Your trial ends today",
        "url": "/billing",
        "deliver_at": "2026-11-24T08:00:00Z",
        "ttl": 86400,
    },
    "a user's own namespace": {"to": {"user": "42"}, "namespace": "/users/42", "title": "Welcome back"},
}

BATCH = {
    "notifications": [
        {"to": {"user": "42"}, "title": "Your order is on its way", "url": "/orders/5"},
        {"to": {"user": "43"}, "title": "Your order has arrived", "url": "/orders/4"},
    ]
}

ACCEPTED = {
    "id": "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E",
    "status": "accepted",
    "created_at": "2026-11-23T09:00:00.000Z",
    "expires_at": "2026-11-24T09:00:00.000Z",
}

SCHEDULED = {
    "id": "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E",
    "status": "scheduled",
    "created_at": "2026-11-23T09:00:00.000Z",
    "deliver_at": "2026-11-24T08:00:00.000Z",
    "expires_at": "2026-11-25T08:00:00.000Z",
}

_DETAILS: dict[type[NotifyError], str] = {
    errors.BadRequest: "The body is not JSON: unexpected end of data: line 1 column 8 (char 7)",
    errors.Unauthorized: "The API key is not known",
    errors.Forbidden: "The API key reports does not have the scope 'publish'",
    errors.NotFound: "No notification of that id is known (any more)",
    errors.InFlight: "A request with this Idempotency-Key is being worked on",
    errors.TooLarge: "The body may be at most 65536 bytes long",
    errors.UnsupportedMedia: "The body must be JSON: send Content-Type: application/json",
    errors.Invalid: "/to/users/0 must be a string",
    errors.TooMany: "Too many large bodies at once; try again",
    errors.Unavailable: "Redis is away",
    NotifyError: "Something went wrong on our side; it has been logged",
}


def error(kind: type[NotifyError], *, pointer: str = "/to/users/0") -> NotifyError:
    """An error of this kind, as it could be."""
    faults = [FieldError(pointer, "must be a string")] if kind is errors.Invalid else []
    detail = f"{pointer} must be a string" if faults else _DETAILS[kind]
    return kind(detail, errors=faults)


def _yes(index: int) -> dict[str, Any]:
    return {"index": index, **ACCEPTED, "id": f"ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C{index}E"}


def _no(index: int) -> dict[str, Any]:
    invalid = error(errors.Invalid, pointer=f"/notifications/{index}/to/user")
    return {"index": index, "status": "rejected", "error": problem(invalid)}


ALL = {"accepted": 2, "rejected": 0, "results": [_yes(0), _yes(1)]}
SOME = {"accepted": 1, "rejected": 1, "results": [_yes(0), _no(1)]}
NONE = {
    **problem(none_accepted(1)),
    "accepted": 0,
    "rejected": 1,
    "results": [_no(0)],
}

PRESENCES: dict[str, Any] = {
    "on two devices": {
        "online": True,
        "connections": [
            {
                "sid": "kzVJ0wBqXwYB1Cw8PWZt",
                "namespace": "/",
                "node": "notify-0",
                "transport": "websocket",
                "since": "2026-11-23T09:00:00.000Z",
            },
            {
                "sid": "n5qkQ7T0zGxWc0vWbJ2M",
                "namespace": "/",
                "node": "notify-2",
                "transport": "polling",
                "since": "2026-11-23T09:12:41.000Z",
            },
        ],
        "last_seen": None,
    },
    "away": {"online": False, "connections": [], "last_seen": "2026-11-23T09:30:00.000Z"},
}
DISCONNECTS: dict[str, Any] = {"with all tokens": {"revoke": True}, "this time only": {"revoke": False}}
DISCONNECTED: dict[str, Any] = {"two": {"disconnected": 2, "revoked": True}}
ROOMS: dict[str, Any] = {"twelve": {"room": "project:7", "namespace": "/", "connections": 12}}
MEMBERSHIPS: dict[str, Any] = {"two": {"room": "project:7", "user": "42", "connections": 2}}
