"""Sent away means away: also for who was not there to hear it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from notify.store.keys import Keys
from tests.chaos.proxy import Proxy
from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def with_one_cut_off(directory) -> AsyncIterator[tuple[Node, Node, Proxy]]:
    """Two nodes; the second reaches Redis by a proxy."""
    async with Cluster(1, directory=directory) as cluster:
        proxy = Proxy(cluster.valkey.port)
        await proxy.start()
        try:
            cut_off = cluster.add(NOTIFY_REDIS_URL=f"redis://127.0.0.1:{proxy.port}")
            await cut_off.start()
            yield cluster.nodes[0], cut_off, proxy
        finally:
            await proxy.stop()


def cut(proxy: Proxy) -> None:
    proxy.mode("refuse")
    proxy.cut()


async def done(node: Node, method: str, path: str, **kwargs):
    status, answer = await node.request(method, path, **kwargs)
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("revoke", [True, False])
async def test_a_node_that_was_cut_off_sends_away_when_it_hears_again(tmp_path, revoke):
    async with with_one_cut_off(tmp_path) as (node, cut_off, proxy), JavaScript() as javascript:
        client = await javascript.connect(cut_off.url, auth={"token": mint("ada")}, transports=["websocket"])
        await client.wait("connect")
        other = await javascript.connect(cut_off.url, auth={"token": mint("bo")}, transports=["websocket"])
        await other.wait("connect")
        no_recovery = await RawClient.connect(cut_off.url, {"token": mint("ada"), "recovery": False})
        await no_recovery.answer()
        cut(proxy)
        answer = await done(node, "POST", "/v1/users/ada/disconnect", json={"revoke": revoke})
        assert answer == {"disconnected": 0, "revoked": revoke, "silent": [cut_off.name]}
        proxy.mode("pass")
        lost = await client.wait("disconnect", timeout_s=20)
        assert (lost["reason"], lost["active"]) == ("io server disconnect", False)
        await no_recovery.until(lambda: "1" in no_recovery.packets)
        assert not other.said("disconnect")


async def test_who_comes_after_the_order_is_not_meant(tmp_path):
    """Nothing was published in between, and the node checks again when it hears again."""
    async with with_one_cut_off(tmp_path) as (node, cut_off, proxy):
        await done(node, "POST", "/v1/users/ada/disconnect")
        client = await RawClient.connect(cut_off.url, {"token": mint("ada")})
        assert not (await client.answer())["refused"]
        before = await cut_off.metric("notify_resubscriptions_total")
        proxy.cut()
        async with asyncio.timeout(30):
            while await cut_off.metric("notify_resubscriptions_total") == before:
                await asyncio.sleep(0.05)
        assert (await client.call("session:refresh", {"token": mint("ada")}))["ok"]
        assert "1" not in client.packets
        await client.close()


async def test_a_node_that_was_cut_off_takes_out_of_rooms_when_it_hears_again(tmp_path):
    async with with_one_cut_off(tmp_path) as (node, cut_off, proxy):
        client = await RawClient.connect(cut_off.url, {"token": mint("ada", join=["lobby", "other"])})
        await client.answer()
        cut(proxy)
        answer = await done(node, "DELETE", "/v1/rooms/lobby/users/ada")
        assert (answer["connections"], answer["silent"]) == (0, [cut_off.name])
        proxy.mode("pass")
        async with asyncio.timeout(30):
            # A node that does not answer counts for nothing: zero says something only once it is heard.
            while (await done(node, "GET", "/v1/rooms/other"))["connections"] != 1:
                await asyncio.sleep(0.05)
            while (await done(node, "GET", "/v1/rooms/lobby"))["connections"]:
                await asyncio.sleep(0.05)
        assert (await done(node, "GET", "/v1/rooms/other"))["connections"] == 1
        await client.close()


async def test_who_is_just_away_does_not_recover_what_was_ended(cluster, unique):
    a, b, _ = cluster.nodes
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url, auth={"token": mint(unique)}, reconnectionDelay=1500, transports=["websocket"]
        )
        first = await client.wait("connect")
        after = len(client.log)
        await client.cut()
        await client.wait("disconnect", after=after)
        async with asyncio.timeout(30):
            while (answer := await done(b, "POST", f"/v1/users/{unique}/disconnect"))["disconnected"]:
                await asyncio.sleep(0.05)
        assert answer == {"disconnected": 0, "revoked": False}
        await b.post({"to": {"user": unique}, "title": "after it was sent away"})
        again = await client.wait("connect", after=after)
        assert again["recovered"] is False
        assert again["sid"] != first["sid"]
        assert not [name for name, _ in client.events if name == "notification"]
        # What begins now is a session like any other.
        after = len(client.log)
        await client.cut()
        assert (await client.wait("connect", after=after))["recovered"] is True


@pytest.mark.parametrize("granted", [True, False])
async def test_who_is_just_away_is_out_of_the_room_when_back(cluster, unique, granted):
    a, b, _ = cluster.nodes
    room, other = f"room-{unique}", f"other-{unique}"
    token = mint(unique, join=[other] if granted else [room, other])
    client = await RawClient.connect(a.url, {"token": token})
    first = await client.answer()
    if granted:
        assert (await done(b, "PUT", f"/v1/rooms/{room}/users/{unique}"))["connections"] == 1
    await client.lose()
    async with asyncio.timeout(30):
        while (await done(b, "GET", f"/v1/rooms/{room}"))["connections"]:
            await asyncio.sleep(0.02)
    assert (await done(b, "DELETE", f"/v1/rooms/{room}/users/{unique}"))["connections"] == 0
    for name in (room, other):
        await b.post({"to": {"room": name}, "title": name})
    for _ in range(2):  # and it stays out
        again = await RawClient.connect(b.url, {"token": token, "pid": first["pid"]})
        assert (await again.answer())["sid"] == first["sid"]
        assert again.notifications == [other]
        ready = await again.until(lambda again=again: [e for e in again.events if e[0] == "session:ready"])
        assert ready[0][1].get("left", []) in ([room], [])
        assert (await done(a, "GET", f"/v1/rooms/{room}"))["connections"] == 0
        await again.lose()
    # Put into it again, it is in it, also after the next recovery.
    again = await RawClient.connect(b.url, {"token": token, "pid": first["pid"]})
    await again.answer()
    assert (await done(b, "PUT", f"/v1/rooms/{room}/users/{unique}"))["connections"] == 1
    await again.lose()
    await b.post({"to": {"room": room}, "title": "back in"})
    last = await RawClient.connect(b.url, {"token": token, "pid": first["pid"], "offset": again.offset})
    assert (await last.answer())["sid"] == first["sid"]
    assert last.notifications == ["back in"]
    await last.close()


async def test_what_was_ordered_runs_out(cluster, unique):
    node = cluster.nodes[0]
    await done(node, "POST", f"/v1/users/{unique}/disconnect")
    await done(node, "DELETE", f"/v1/rooms/lobby-{unique}/users/{unique}")
    with cluster.valkey.client() as redis:
        assert 900 < redis.ttl(Keys().orders(unique)) < 2000
