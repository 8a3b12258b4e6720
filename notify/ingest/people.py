"""`/v1/users/{id}` and `/v1/rooms/{room}`: who is connected, and where they are to be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import orjson
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.presence import Presence
from notify.ingest.body import BodyReader, parse
from notify.ingest.edge import Edge
from notify.ingest.location import path_names, query
from notify.ingest.schemas import DISCONNECT, NoQuery, RoomPath, RoomQuery, RoomUserPath, UserPath, load
from notify.service.publish import timestamp

PRESENCE_PATH = "/v1/users/{id}/presence"
DISCONNECT_PATH = "/v1/users/{id}/disconnect"
ROOM_PATH = "/v1/rooms/{room}"
MEMBERSHIP_PATH = "/v1/rooms/{room}/users/{id}"
MAX_BODY = 1024

NO_QUERY, ROOM_QUERY = NoQuery(), RoomQuery()
USER, ROOM, ROOM_USER = UserPath(), RoomPath(), RoomUserPath()


class People(Protocol):
    """What is asked of `service.people.People`. All raise Unavailable."""

    async def presence(self, user: str) -> Presence:
        """A user's connections on all nodes."""

    async def disconnect(self, user: str, *, revoke: bool) -> int:
        """End them all; how many."""

    async def room_size(self, room: str, namespace: str) -> int:
        """Connections in a room, on all nodes."""

    async def room_add(self, room: str, user: str, namespace: str) -> int:
        """Put a user's connections into a room; how many are in it."""

    async def room_remove(self, room: str, user: str, namespace: str) -> int:
        """Take a user's connections out of a room; how many were in it."""


class PeopleRoutes:
    """The handlers, each: parse, call one verb, render."""

    def __init__(self, *, people: People, bodies: BodyReader) -> None:
        self._people = people
        self._bodies = bodies

    def routes(self, edge: Edge) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        return {
            PRESENCE_PATH: [edge.bodiless("GET", PRESENCE_PATH, "presence", "read", self.presence)],
            DISCONNECT_PATH: [edge.post(DISCONNECT_PATH, "disconnect", "admin", self.disconnect)],
            ROOM_PATH: [edge.bodiless("GET", ROOM_PATH, "room", "read", self.room)],
            MEMBERSHIP_PATH: [
                edge.bodiless("PUT", MEMBERSHIP_PATH, "room_add", "admin", self.add),
                edge.bodiless("DELETE", MEMBERSHIP_PATH, "room_remove", "admin", self.remove),
            ],
        }

    async def presence(self, request: web.Request, key: ApiKey) -> web.Response:
        """Where a user is connected."""
        user = path_names(request, PRESENCE_PATH, USER)["id"]
        query(request, NO_QUERY)
        presence = await self._people.presence(user)
        return _answer(
            {
                "online": presence.online,
                "connections": [
                    {
                        "sid": connection.sid,
                        "namespace": connection.namespace,
                        "node": connection.node,
                        "transport": connection.transport,
                        "since": _moment(connection.since),
                    }
                    for connection in presence.connections
                ],
                "last_seen": None if presence.last_seen is None else _moment(presence.last_seen),
            }
        )

    async def disconnect(self, request: web.Request, key: ApiKey) -> web.Response:
        """Send a user away, on every node."""
        user = path_names(request, DISCONNECT_PATH, USER)["id"]
        query(request, NO_QUERY)
        body = await self._bodies.read(request, limit=MAX_BODY) if request.body_exists else b""
        revoke = load(DISCONNECT, parse(body) if body else {})["revoke"]
        disconnected = await self._people.disconnect(user, revoke=revoke)
        return _answer({"disconnected": disconnected, "revoked": revoke})

    async def room(self, request: web.Request, key: ApiKey) -> web.Response:
        """How many are in a room."""
        room = path_names(request, ROOM_PATH, ROOM)["room"]
        namespace = query(request, ROOM_QUERY)["namespace"]
        connections = await self._people.room_size(room, namespace)
        return _answer({"room": room, "namespace": namespace, "connections": connections})

    async def add(self, request: web.Request, key: ApiKey) -> web.Response:
        """Put a user into a room, on every node."""
        names = path_names(request, MEMBERSHIP_PATH, ROOM_USER)
        namespace = query(request, ROOM_QUERY)["namespace"]
        connections = await self._people.room_add(names["room"], names["id"], namespace)
        return _answer({"room": names["room"], "user": names["id"], "connections": connections})

    async def remove(self, request: web.Request, key: ApiKey) -> web.Response:
        """Take a user out of a room, on every node."""
        names = path_names(request, MEMBERSHIP_PATH, ROOM_USER)
        namespace = query(request, ROOM_QUERY)["namespace"]
        connections = await self._people.room_remove(names["room"], names["id"], namespace)
        return _answer({"room": names["room"], "user": names["id"], "connections": connections})


def _answer(document: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(document), headers={"Content-Type": "application/json"})


def _moment(unix_s: int) -> str:
    return timestamp(datetime.fromtimestamp(unix_s, UTC))
