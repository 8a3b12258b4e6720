"""Limits of a node: each refuses clearly, and lets in again when there is room."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from notify.wiring.gateway import CONNECTS_AT_ONCE
from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(60)


async def test_one_user_may_not_take_all_connections(tmp_path):
    settings = {"NOTIFY_MAX_CONNECTIONS_PER_USER": "2"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster, JavaScript() as javascript:
        (node,) = cluster.nodes
        clients = [await RawClient.connect(node.url, {"token": mint("ada")}) for _ in range(2)]
        for client in clients:
            assert not (await client.answer())["refused"]
        one_more = await javascript.connect(node.url, auth={"token": mint("ada")}, reconnectionDelayMax=300)
        await one_more.wait("disconnect")
        assert not one_more.said("connect")
        assert await node.metric("notify_connect_errors_total", code="too_many") >= 1
        other = await RawClient.connect(node.url, {"token": mint("bo")})
        assert not (await other.answer())["refused"]
        await clients[0].close()
        await one_more.wait("connect")  # by itself, now that there is room
        for client in (clients[1], other):
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


@pytest.mark.parametrize("namespace", ["/", "/chat", "/users/ada"])
async def test_the_bound_on_one_users_connections_holds_in_each_namespace(tmp_path, namespace):
    settings = {"NOTIFY_MAX_CONNECTIONS_PER_USER": "2"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        token = mint("ada")

        async def let_in(auth=None, where=namespace) -> RawClient | None:
            client = await RawClient.connect(node.url, {"token": token, **(auth or {})}, namespace=where)
            await asyncio.wait(
                [asyncio.ensure_future(client.answer()), asyncio.ensure_future(client.closed.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            return client if client.packets else None

        first, second = await let_in(), await let_in()
        assert first is not None and second is not None
        assert await let_in() is None
        for other in {"/", "/chat", "/users/ada"} - {namespace}:
            elsewhere = await let_in(where=other)  # one namespace does not count for another
            assert elsewhere is not None
            await elsewhere.close()
        # Who is away does not count, and is not let in past the bound when back.
        pid = (await first.answer())["pid"]
        await first.lose()
        async with asyncio.timeout(30):
            while (newer := await let_in()) is None:
                await asyncio.sleep(0.05)
        assert await let_in({"pid": pid}) is None
        await newer.close()
        async with asyncio.timeout(30):
            while (again := await let_in({"pid": pid})) is None:
                await asyncio.sleep(0.05)
        assert (await again.answer())["pid"] == pid
        # One who takes the place of its own old connection takes no other.
        moved = await let_in({"pid": pid})
        assert moved is not None
        assert (await moved.answer())["pid"] == pid
        await moved.close()


async def test_many_at_once_do_not_get_past_the_bound(tmp_path):
    settings = {"NOTIFY_MAX_CONNECTIONS_PER_USER": "3"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        clients = await asyncio.gather(
            *(RawClient.connect(node.url, {"token": mint("ada")}, namespace="/chat") for _ in range(12))
        )
        async with asyncio.timeout(30):
            while sum(bool(client.packets) or client.closed.is_set() for client in clients) < 12:
                await asyncio.sleep(0.02)
        assert sum(bool(client.packets) for client in clients) == 3
        for client in clients:
            await client.close()


async def test_a_connection_that_is_in_no_namespace_any_more_is_not_kept(tmp_path):
    settings = {"NOTIFY_CONNECT_TIMEOUT": "1"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        left, sent_away, stays = [
            await RawClient.connect(node.url, {"token": mint(user)}) for user in ("ada", "bo", "cy")
        ]
        for client in (left, sent_away, stays):
            await client.answer()
        await left.send("41")
        await stays.send("41")
        await stays.send("40" + f'{{"token":"{mint("cy")}"}}')
        await node.request("POST", "/v1/users/bo/disconnect")
        async with asyncio.timeout(30):
            await left.closed.wait()
            await sent_away.closed.wait()
        assert not stays.closed.is_set()
        await stays.close()


async def test_more_than_can_be_let_in_at_once_wait_for_their_turn(tmp_path):
    more = 20
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_REDIS_TIMEOUT": "30"}) as cluster:
        (node,) = cluster.nodes
        with cluster.valkey.client() as redis:
            redis.client_pause(30_000, all=False)
            clients = [
                await RawClient.connect(node.url, {"token": mint(f"user-{n}")})
                for n in range(CONNECTS_AT_ONCE + more)
            ]
            async with asyncio.timeout(30):
                while await node.metric("notify_connects_waiting") != more:
                    await asyncio.sleep(0.05)
            await clients.pop().close()  # it gives up, and costs nobody a turn
            redis.client_unpause()
        for client in clients:
            assert not (await client.answer())["refused"]
        async with asyncio.timeout(30):
            while await node.metric("notify_connects_waiting"):
                await asyncio.sleep(0.05)
        assert await node.metric("notify_connects_total") == len(clients)
        for client in clients:
            await client.close()
