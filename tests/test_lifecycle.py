"""The life of a node, as load balancers, operators and clients see it."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=lambda names: names[0])
async def test_a_drained_node_sends_its_clients_away_and_they_come_back_by_themselves(tmp_path, transports):
    settings = {"NOTIFY_DRAIN_DELAY": "3", "NOTIFY_DRAIN_SECONDS": "1"}
    async with Cluster(2, directory=tmp_path, environ=settings) as cluster, JavaScript() as javascript:
        a, b = cluster.nodes
        client = await javascript.connect(
            a.url, auth={"token": mint("ada")}, transports=transports, reconnectionDelay=200
        )
        first = await client.wait("connect")
        a.signal(signal.SIGTERM)
        await until(lambda: a.status("/readyz"), within_s=5)
        assert await a.status("/readyz") == 503  # load balancers hear of it first ...
        assert await a.status("/healthz") == 200
        assert client.said("disconnect") == []  # ... and clients a while later
        status, _ = await a.post({"to": {"user": "ada"}, "title": "while it drains"})
        assert status == 202
        lost = await client.wait("disconnect")
        assert lost["reason"] in ("transport close", "transport error")
        assert lost["active"] is True
        assert await a.ended() == 0
        await b.post({"to": {"user": "ada"}, "title": "meanwhile"})
        after = len(client.log)
        await a.start()
        again = await client.wait("connect", after=after)
        assert (again["recovered"], again["sid"]) == (True, first["sid"])
        titles = [args[0]["title"] for name, args in client.events if name == "notification"]
        assert titles == ["while it drains", "meanwhile"]


async def test_a_stopped_node_leaves_nothing_in_redis_but_what_may_be_recovered(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada", join=["lobby"])})
        await client.answer()
        with cluster.valkey.client() as redis:
            assert redis.pubsub_channels("notify:*")
            assert redis.zrange("notify:nodes", 0, -1) == [node.name.encode()]
            assert await node.terminate() == 0
            assert redis.pubsub_channels("*") == []
            assert redis.zrange("notify:nodes", 0, -1) == []
        assert cluster.valkey.eternal_keys() == []
        await client.close()


async def test_requests_under_way_are_finished(tmp_path):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_SHUTDOWN_SECONDS": "10"}) as cluster:
        (node,) = cluster.nodes
        items = [{"to": {"users": [f"user-{n}" for n in range(9)]}, "title": str(n)} for n in range(1000)]
        posting = [asyncio.ensure_future(node.post(items, batch=True)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await node.terminate() == 0
        for status, answer in await asyncio.gather(*posting):
            assert (status, answer["accepted"]) == (202, 1000)


async def test_a_second_signal_ends_it_at_once(tmp_path):
    settings = {"NOTIFY_DRAIN_DELAY": "60", "NOTIFY_DRAIN_SECONDS": "60"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada")})
        await client.answer()
        node.signal(signal.SIGTERM)
        await until(lambda: "draining" in node.log)
        began = time.monotonic()
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0
        assert time.monotonic() - began < 30  # and not two minutes
        await client.close()


async def test_no_new_connections_are_taken_after_the_delay(tmp_path):
    settings = {"NOTIFY_DRAIN_DELAY": "0", "NOTIFY_DRAIN_SECONDS": "5"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        clients = [await RawClient.connect(node.url, {"token": mint(f"user-{n}")}) for n in range(10)]
        for client in clients:
            await client.answer()
        node.signal(signal.SIGTERM)
        await until(lambda: any(client.closed.is_set() for client in clients))
        with pytest.raises(Exception, match="503"):
            await RawClient.connect(node.url, {"token": mint("late")})
        assert await node.metric("notify_handshakes_refused_total", reason="draining") == 1
        assert await node.ended() == 0
        assert all(client.closed.is_set() for client in clients)
        await asyncio.gather(*(client.close() for client in clients))


async def test_nodes_stay_ready_while_redis_itself_is_away(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada")})
        await client.answer()
        cluster.valkey.kill()
        await until(lambda: _is_zero(node))
        began = time.monotonic()
        status, answer = await node.post({"to": {"user": "ada"}, "title": "x"})
        assert (status, answer["code"]) == (503, "unavailable")
        assert time.monotonic() - began < 5
        assert await node.status("/readyz") == 200
        assert not client.closed.is_set()
        await cluster.valkey.astart()
        await until(lambda: _posted(node))
        await client.until(lambda: client.notifications)
        await client.close()


async def _is_zero(node: Node) -> bool:
    return await node.metric("notify_redis_connected") == 0


async def _posted(node: Node) -> bool:
    return (await node.post({"to": {"user": "ada"}, "title": "back"}))[0] == 202
