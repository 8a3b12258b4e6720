"""`/v1/users/{id}` and `/v1/rooms/{room}`: who is connected, and who is in which room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.moments import timestamp
from notify.domain.presence import Presence, Reached
from notify.ingest.http.body import BodyReader, parse
from notify.ingest.http.location import path_names, query
from notify.ingest.http.route_wrapper import RouteWrapper
from notify.ingest.schemas import DISCONNECT, NoQuery, RoomPath, RoomQuery, RoomUserPath, UserPath, load

USER_PATH = "/v1/users/{id}"
PRESENCE_PATH = "/v1/users/{id}/presence"
DISCONNECT_PATH = "/v1/users/{id}/disconnect"
ROOM_PATH = "/v1/rooms/{room}"
MEMBERSHIP_PATH = "/v1/rooms/{room}/users/{id}"
MAX_BODY = 1024

NO_QUERY, ROOM_QUERY = NoQuery(), RoomQuery()
USER, ROOM, ROOM_USER = UserPath(), RoomPath(), RoomUserPath()


class Users(Protocol):
    """The part of `service.users.Users` that is used here. All raise Unavailable."""

    async def presence(self, user: str) -> Presence:
        """A user's connections on all nodes."""

    async def disconnect(self, user: str, *, revoke: bool) -> Reached:
        """End them all."""

    async def erase(self, user: str) -> None:
        """Leave nothing of them."""

    async def room_size(self, room: str, namespace: str) -> int:
        """Connections in a room, on all nodes."""

    async def room_add(self, room: str, user: str, namespace: str) -> Reached:
        """Put a user's connections into a room."""

    async def room_remove(self, room: str, user: str, namespace: str) -> Reached:
        """Take a user's connections out of a room."""


class UserRoutes:
    """The handlers, each: parse, call one verb, render."""

    def __init__(self, *, users: Users, bodies: BodyReader) -> None:
        self._users = users
        self._bodies = bodies

    def routes(self, edge: RouteWrapper) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        return {
            USER_PATH: [edge.bodiless("DELETE", USER_PATH, "erase", "admin", self.erase)],
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
        presence = await self._users.presence(user)
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
        reached = await self._users.disconnect(user, revoke=revoke)
        return _answer({"disconnected": reached.connections, "revoked": revoke, **_silent(reached)})

    async def erase(self, request: web.Request, key: ApiKey) -> web.Response:
        """Send a user away and leave nothing of them: 204 when that is done."""
        user = path_names(request, USER_PATH, USER)["id"]
        query(request, NO_QUERY)
        await self._users.erase(user)
        return web.Response(status=204)

    async def room(self, request: web.Request, key: ApiKey) -> web.Response:
        """How many are in a room."""
        room = path_names(request, ROOM_PATH, ROOM)["room"]
        namespace = query(request, ROOM_QUERY)["namespace"]
        connections = await self._users.room_size(room, namespace)
        return _answer({"room": room, "namespace": namespace, "connections": connections})

    async def add(self, request: web.Request, key: ApiKey) -> web.Response:
        """Put a user into a room, on every node."""
        names = path_names(request, MEMBERSHIP_PATH, ROOM_USER)
        namespace = query(request, ROOM_QUERY)["namespace"]
        reached = await self._users.room_add(names["room"], names["id"], namespace)
        return _answer(_membership(names, reached))

    async def remove(self, request: web.Request, key: ApiKey) -> web.Response:
        """Take a user out of a room, on every node."""
        names = path_names(request, MEMBERSHIP_PATH, ROOM_USER)
        namespace = query(request, ROOM_QUERY)["namespace"]
        reached = await self._users.room_remove(names["room"], names["id"], namespace)
        return _answer(_membership(names, reached))


def _membership(names: Mapping[str, str], reached: Reached) -> dict[str, Any]:
    return {
        "room": names["room"],
        "user": names["id"],
        "connections": reached.connections,
        **_silent(reached),
    }


def _silent(reached: Reached) -> dict[str, Any]:
    """The nodes that did not answer, when there are any."""
    return {"silent": list(reached.silent)} if reached.silent else {}


def _answer(document: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(document), headers={"Content-Type": "application/json"})


def _moment(unix_s: int) -> str:
    return timestamp(unix_s * 1000)
