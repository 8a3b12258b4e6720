"""The calls about people and rooms, in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from notify.ingest.openapi import examples
from notify.ingest.openapi.operation import answer, body, done, refusals
from notify.ingest.schemas import RoomPath, RoomQuery, RoomUserPath, UserPath
from notify.ingest.users import (
    DISCONNECT_PATH,
    MAX_BODY,
    MEMBERSHIP_PATH,
    PRESENCE_PATH,
    ROOM_PATH,
    USER_PATH,
)

BODILESS = ("Unauthorized", "Forbidden", "Invalid", "Internal", "Unavailable")
WITH_BODY = ("BadRequest", *BODILESS, "TooLarge", "UnsupportedMedia")
SILENT = "A node that does not answer within a second is left out: it is dead or cut off."
LATE = (
    "A node that does not answer within a second is named in `silent`; if it is only cut off, it carries "
    "this out as soon as it hears the others again."
)


def people_operations() -> dict[str, dict[str, Any]]:
    """The operations by path and method."""
    return {
        USER_PATH: {"delete": _erase()},
        PRESENCE_PATH: {"get": _presence()},
        DISCONNECT_PATH: {"post": _disconnect()},
        ROOM_PATH: {"get": _room()},
        MEMBERSHIP_PATH: {"put": _add(), "delete": _remove()},
    }


def _erase() -> dict[str, Any]:
    return {
        "operationId": "eraseUser",
        "summary": "Erase a user",
        "description": "Disconnects the user everywhere and revokes their tokens, then leaves nothing of "
        "them in Redis: sessions, logs, inbox, presence, what is scheduled, lists of recipients. What stays "
        "is the mark of the revoked tokens, under a hash, until those end, and in logs of others, until they "
        "end, their id where they were left out of a message or sent it. All keys are looked through: with "
        "millions of them this takes a while. A later notification begins anew. Once more is no error. Needs "
        "the scope `admin`.",
        "tags": ["users"],
        "parameters": _parameters(UserPath),
        "responses": {"204": done("Nothing is left of them."), **refusals(BODILESS)},
    }


def _presence() -> dict[str, Any]:
    return {
        "operationId": "getPresence",
        "summary": "See where a user is connected",
        "description": "All nodes are asked, so this is the present state. A connection counts "
        f"once for each namespace it is in. {SILENT} Needs the scope `read`.",
        "tags": ["users"],
        "parameters": _parameters(UserPath),
        "responses": {
            "200": answer("The user's connections.", "Presence", examples.PRESENCES),
            **refusals(BODILESS),
        },
    }


def _disconnect() -> dict[str, Any]:
    return {
        "operationId": "disconnectUser",
        "summary": "Disconnect a user",
        "description": "Ends all connections of a user, on every node and in every namespace, with the "
        "reason `io server disconnect`: stock clients do not come back by themselves. Nothing is "
        "recovered, not even the session of a client that is away at this moment. With `revoke`, tokens "
        "issued up to this second, by the clock of Redis, are refused with `token_revoked` from now on: "
        f"issue the next one a second later. {LATE} The body may be left out; it may be {MAX_BODY} "
        "bytes long. Needs the "
        "scope `admin`.",
        "tags": ["users"],
        "parameters": _parameters(UserPath),
        "requestBody": body("Disconnect", examples.DISCONNECTS, required=False),
        "responses": {
            "200": answer("The connections are ended.", "Disconnected", examples.DISCONNECTED),
            **refusals(WITH_BODY),
        },
    }


def _room() -> dict[str, Any]:
    return {
        "operationId": "getRoom",
        "summary": "See how many are in a room",
        "description": f"Connections, not users, over all nodes. {SILENT} Needs the scope `read`.",
        "tags": ["rooms"],
        "parameters": _parameters(RoomPath, RoomQuery),
        "responses": {
            "200": answer("The room's size.", "Room", examples.ROOMS),
            **refusals(BODILESS),
        },
    }


def _add() -> dict[str, Any]:
    return {
        "operationId": "addToRoom",
        "summary": "Put a user into a room",
        "description": "All connections that the user has now in the namespace, on every node, whatever "
        "their tokens allow. They get the room back when they recover; a new connection made later "
        "is not in it. A connection that is in NOTIFY_MAX_ROOMS_PER_SOCKET rooms already is not counted. "
        f"{LATE} Needs the scope `admin`.",
        "tags": ["rooms"],
        "parameters": _parameters(RoomUserPath, RoomQuery),
        "responses": {
            "200": answer("They are in the room.", "Membership", examples.MEMBERSHIPS),
            **refusals(BODILESS),
        },
    }


def _remove() -> dict[str, Any]:
    return {
        "operationId": "removeFromRoom",
        "summary": "Take a user out of a room",
        "description": "All connections that the user has now in the namespace, on every node, and "
        "those whose client is away at this moment and comes back. Clients whose "
        f"tokens allow the room may join it again. {LATE} Needs the scope `admin`.",
        "tags": ["rooms"],
        "parameters": _parameters(RoomUserPath, RoomQuery),
        "responses": {
            "200": answer("They are out of the room.", "Membership", examples.MEMBERSHIPS),
            **refusals(BODILESS),
        },
    }


def _parameters(path: type[Schema], query: type[Schema] | None = None) -> list[Any]:
    """Parameters as apispec takes them: it makes them from the schemas."""
    found: list[Any] = [{"in": "path", "schema": path}]
    if query is not None:
        found.append({"in": "query", "schema": query})
    return [*found, "RequestId"]
