"""A node whose subscription breaks, with clients on it: they get everything once, or they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.proxy import Proxy
from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


@dataclass
class Apart:
    """Two nodes: `far` reaches Redis by a way that can be cut, `near` takes what is posted."""

    cluster: Cluster
    near: Node
    far: Node
    way: Proxy

    async def post(self, *users: str, title: str) -> None:
        status, answer = await self.near.post({"to": {"users": list(users)}, "title": title})
        assert status == 202, answer


@pytest.fixture
async def apart(tmp_path: Path) -> AsyncIterator[Apart]:
    cluster = Cluster(1, directory=tmp_path)
    way = Proxy(cluster.valkey.port)
    await way.start()
    try:
        far = cluster.add(NOTIFY_REDIS_URL=f"redis://127.0.0.1:{way.port}")
        async with cluster:
            yield Apart(cluster, cluster.nodes[0], far, way)
    finally:
        await way.stop()


@pytest.mark.parametrize("copies", [1, 7])
async def test_a_notification_that_is_cut_between_its_copies_reaches_all_of_them_once(
    apart: Apart, copies: int
):
    users = [f"user-{number}" for number in range(8)]
    clients = [await RawClient.connect(apart.far.url, {"token": mint(user)}) for user in users]
    for client in clients:
        assert not (await client.answer())["refused"]
    apart.way.cut_after(copies)
    await apart.post(*users, title="in pieces")
    async with asyncio.timeout(30):
        while await apart.far.metric("notify_resubscriptions_total") < 1:
            await asyncio.sleep(0.02)
    await apart.post(*users, title="after")
    for client in clients:
        await client.until(lambda client=client: len(client.notifications) >= 2)
        assert client.notifications == ["in pieces", "after"]
        await client.close()
    assert apart.way.has_cut
    assert await apart.far.metric("notify_gaps_lost_total") == 0


async def test_clients_of_a_log_that_is_gone_are_told_and_others_notice_nothing(apart: Apart):
    async with JavaScript() as javascript:
        ada, bo = [
            await javascript.connect(apart.far.url, auth={"token": mint(user)}, transports=["websocket"])
            for user in ("ada", "bo")
        ]
        for client in (ada, bo):
            await client.wait("connect")
        apart.way.mode("refuse")
        apart.way.cut()
        async with asyncio.timeout(30):
            while await apart.far.metric("notify_subscribed") == 1:
                await asyncio.sleep(0.02)
        await apart.post("ada", title="lost")
        await apart.post("bo", title="kept")
        with apart.cluster.valkey.client() as redis:
            assert redis.delete("notify:log:user:/:ada") == 1
        apart.way.mode("pass")
        await ada.wait("disconnect")
        told = await ada.wait("connect", after=ada.log.index((ada.said("disconnect"))[0]))
        assert told["recovered"] is False
        assert (await bo.wait_event("notification"))[0]["title"] == "kept"
        assert bo.said("disconnect") == []
        assert await apart.far.metric("notify_gaps_lost_total") == 1
