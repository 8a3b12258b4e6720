"""A log that is not there is never taken for one in which nothing happened."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


async def back(client, after: int):
    return await client.wait("connect", after=after, timeout_s=20)


@pytest.mark.parametrize("published_after", [False, True])
async def test_a_client_whose_log_is_gone_is_told(cluster, unique, published_after):
    a, b, _ = cluster.nodes
    room = f"room-{unique}"
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url, auth={"token": mint(unique, join=[room])}, reconnectionDelay=1500, transports=["websocket"]
        )
        await client.wait("connect")
        await b.post({"to": {"room": room}, "title": "seen"})
        await client.wait_event("notification")
        after = len(client.log)
        await client.cut()
        await client.wait("disconnect", after=after)
        await b.post({"to": {"room": room}, "title": "missed"})
        with cluster.valkey.client() as redis:
            assert redis.delete(f"notify:log:room:/:{room}") == 1
        if published_after:
            await b.post({"to": {"room": room}, "title": "after the log was lost"})
        again = await back(client, after)
        assert again["recovered"] is False


async def test_what_is_complete_is_recovered_though_its_log_is_gone(cluster, unique):
    a, b, _ = cluster.nodes
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url, auth={"token": mint(unique)}, reconnectionDelay=1000, transports=["websocket"]
        )
        await client.wait("connect")
        await b.post({"to": {"user": unique}, "title": "seen"})
        await client.wait_event("notification")
        after = len(client.log)
        await client.cut()
        with cluster.valkey.client() as redis:
            assert redis.delete(f"notify:log:user:/:{unique}") == 1
        assert (await back(client, after))["recovered"] is True


async def test_a_rolling_restart_with_a_shorter_window_makes_no_hole(tmp_path):
    """Logs are kept as long as sessions of the longer window may ask; what is gone all the same is told."""
    async with Cluster(2, directory=tmp_path) as cluster, JavaScript() as javascript:
        a, b = cluster.nodes
        clients = [
            await javascript.connect(
                b.url, auth={"token": mint(name)}, reconnectionDelay=3000, randomizationFactor=0
            )
            for name in ("ada", "bo")
        ]
        for client in clients:
            await client.wait("connect")
        a.environ["NOTIFY_RECOVERY_WINDOW"] = b.environ["NOTIFY_RECOVERY_WINDOW"] = "20"
        await a.restart()
        after = [len(client.log) for client in clients]
        b.kill()  # no session is renewed by the new window
        for name in ("ada", "bo"):
            status, _ = await a.post({"to": {"user": name}, "title": "missed"})
            assert status == 202
        with cluster.valkey.client() as redis:
            (session, *_) = redis.keys("notify:session:*")
            for name in ("ada", "bo"):
                log = f"notify:log:user:/:{name}"
                assert redis.ttl(log) > redis.ttl(session) > 800
            redis.delete("notify:log:user:/:bo")  # as if its time were over
        b.spawn()
        again = [await back(client, begin) for client, begin in zip(clients, after, strict=True)]
        assert [one["recovered"] for one in again] == [True, False]
        titles = [
            [args[0]["title"] for name, args in client.events if name == "notification"] for client in clients
        ]
        assert titles == [["missed"], []]


async def test_a_session_that_redis_lost_is_owed_what_it_was(tmp_path):
    """Its key alone was lost while its connection was half open: what was handed to that is still missed."""
    settings = {"NOTIFY_RECOVERY_WINDOW": "3"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada")})
        pid = (await client.answer())["pid"]
        await node.post({"to": {"user": "ada"}, "title": "handed over, and lost on the way"})
        await client.until(lambda: client.notifications)
        with cluster.valkey.client() as redis:
            key = f"notify:session:{pid}"
            redis.delete(key)
            async with asyncio.timeout(30):
                while not redis.exists(key):
                    await asyncio.sleep(0.05)
        await client.lose()
        again = await RawClient.connect(node.url, {"token": mint("ada"), "pid": pid})  # it saw no event
        assert (await again.answer())["pid"] == pid
        assert again.notifications == ["handed over, and lost on the way"]
        await again.close()
