"""Limits of a node: each refuses clearly, and lets in again when there is room."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.clients.javascript import JavaScript
from tests.clients.raw import RawClient
from tests.cluster import Cluster
from tests.tokens import mint

pytestmark = pytest.mark.timeout(60)


async def test_one_user_may_not_take_all_connections(tmp_path):
    settings = {"NOTIFY_MAX_CONNECTIONS_PER_USER": "2"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster, JavaScript() as javascript:
        (node,) = cluster.nodes
        clients = [await RawClient.connect(node.url, {"token": mint("ada")}) for _ in range(2)]
        for client in clients:
            assert not (await client.answer())["refused"]
        one_more = await javascript.connect(node.url, auth={"token": mint("ada")})
        refused = await one_more.wait("connect_error")
        assert refused["data"]["code"] == "too_many"
        other = await RawClient.connect(node.url, {"token": mint("bo")})
        assert not (await other.answer())["refused"]
        await clients[0].close()
        async with asyncio.timeout(10):
            while True:
                again = await RawClient.connect(node.url, {"token": mint("ada")})
                if not (await again.answer())["refused"]:
                    break
                await again.close()
        for client in (again, clients[1], other):
            await client.close()


async def test_a_token_may_not_join_more_rooms_than_a_socket_may_be_in(tmp_path):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_MAX_ROOMS_PER_SOCKET": "3"}) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(
            node.url, {"token": mint("ada", join=["one", "two", "three", "four"])}
        )
        answer = await client.answer()
        assert answer["refused"]
        assert "join" in answer["data"]["detail"]
        await client.close()
        client = await RawClient.connect(node.url, {"token": mint("ada", join=["one", "two"], rooms=["*"])})
        await client.answer()
        assert (await client.call("room:join", {"room": "three"}))["ok"]
        refused = await client.call("room:join", {"room": "four"})
        assert refused["error"]["code"] == "too_many"
        await client.close()


async def test_a_full_node_says_so_and_when_to_come_back(tmp_path):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_MAX_CONNECTIONS": "2"}) as cluster:
        (node,) = cluster.nodes
        clients = [await RawClient.connect(node.url, {"token": mint(f"user-{n}")}) for n in range(2)]
        address = node.url + "/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
        assert await node.metric("notify_handshakes_refused_total", reason="connections") == 1
        for client in clients:
            await client.close()
