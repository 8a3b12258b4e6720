"""Presence, disconnect and rooms on real nodes, with names that are hard on URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import socketio

from notify_client import Invalid, Unauthorized
from tests.python_client.conftest import Connect
from tests.support.cluster import Cluster
from tests.support.tokens import mint

HARD = ["a/b", "50%", "%2F", "ä ö", "x?y=z#1", "+&;", "...", "~", "a:b@c", "\N{PILE OF POO}"]


@asynccontextmanager
async def online(url: str, user: str) -> AsyncIterator[socketio.AsyncClient]:
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(url, auth={"token": mint(user), "recovery": False}, transports=["websocket"])
    try:
        yield client
    finally:
        await client.disconnect()


@pytest.mark.parametrize("hard", HARD)
async def test_people_and_rooms_by_any_name(connected: Connect, cluster: Cluster, unique: str, hard: str):
    user, room = f"{unique}{hard}", f"{unique}:{hard}"
    async with connected(cluster.nodes[0].internal_url) as notify, online(cluster.nodes[1].url, user):
        presence = await notify.presence(user)
        assert presence.online
        assert presence.last_seen is None
        (connection,) = presence.connections
        assert (connection.namespace, connection.node, connection.transport) == ("/", "node-2", "websocket")
        added = await notify.rooms.add(room, user)
        assert (added.room, added.user, added.connections) == (room, user, 1)
        found = await notify.rooms.get(room)
        assert (found.room, found.namespace, found.connections) == (room, "/", 1)
        assert (await notify.rooms.get(room, namespace="/chat")).connections == 0
        assert (await notify.rooms.remove(room, user)).connections == 1
        assert (await notify.rooms.get(room)).connections == 0


async def test_a_user_who_is_sent_away_is_away(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[0].internal_url) as notify, online(cluster.nodes[1].url, unique):
        done = await notify.disconnect(unique)
        assert (done.disconnected, done.revoked) == (1, False)
        done = await notify.disconnect(unique, revoke=True)
        assert (done.disconnected, done.revoked) == (0, True)
        presence = await notify.presence(unique)
        assert (presence.online, presence.connections) == (False, ())


@pytest.mark.parametrize("name", ["", ".", "..", "\ud800", 42, None])
async def test_what_cannot_stand_in_a_path_is_refused_here(connected: Connect, cluster: Cluster, name):
    async with connected(cluster.nodes[0].internal_url) as notify:
        for call in (notify.presence, notify.disconnect, notify.rooms.get):
            with pytest.raises(Invalid):
                await call(name)


async def test_what_the_path_and_query_have_wrong_is_told_by_pointer(connected: Connect, cluster: Cluster):
    async with connected(cluster.nodes[0].internal_url) as notify:
        with pytest.raises(Invalid) as raised:
            await notify.rooms.get("@reserved")
        assert raised.value.errors[0].pointer == "/path/room"
        with pytest.raises(Invalid) as raised:
            await notify.rooms.get("fine", namespace="no slash")
        assert raised.value.errors[0].pointer == "/query/namespace"
    async with connected(cluster.nodes[0].internal_url, api_key="a-wrong-key-of-the-tests") as notify:
        with pytest.raises(Unauthorized):
            await notify.presence("42")
