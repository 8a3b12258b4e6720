"""Who polls is not cut off for what was sent to them at once, however little may wait for them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest

from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


class Poller:
    """A long-polling client that asks for what waits for it when it is told to, and not before."""

    def __init__(self, node: Node) -> None:
        self._url = node.url + "/socket.io/?EIO=4&transport=polling"
        self._session = aiohttp.ClientSession()
        self.heard: list[str] = []

    async def __aenter__(self) -> Self:
        self._url += "&sid=" + json.loads((await self._ask("GET"))[1:])["sid"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def say(self, packet: str) -> None:
        """POST one packet."""
        assert await self._ask("POST", packet) == "ok"

    async def poll(self, until: str) -> None:
        """Ask until something of that kind has come. Fails when the connection is gone."""
        deadline = time.monotonic() + 20
        while not any(until in packet for packet in self.heard):
            assert time.monotonic() < deadline, self.heard
            self.heard += (await self._ask("GET")).split("\x1e")

    async def _ask(self, method: str, body: str | None = None) -> str:
        async with self._session.request(method, self._url, data=body) as response:
            text = await response.text()
            assert response.status == 200, text
            return text


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """It lets no more wait for a connection than twice what one notification may have."""
    environ = {"NOTIFY_SEND_BUFFER_LIMIT": str(128 * 1024), "NOTIFY_MAX_PAYLOAD": str(64 * 1024)}
    async with Cluster(1, directory=tmp_path, environ=environ) as cluster:
        yield cluster.nodes[0]


async def post(node: Node, **fields: Any) -> None:
    status, answer = await node.post({"to": {"user": "ada"}, "title": "x", **fields})
    assert status == 202, answer


async def reached(node: Node, metric: str, value: float) -> None:
    deadline = time.monotonic() + 20
    while await node.metric(metric) < value:
        assert time.monotonic() < deadline, metric


async def test_a_page_leaves_room_for_what_comes_live(node: Node):
    for _ in range(5):
        await post(node, body="x" * 50_000)
    async with Poller(node) as ada:
        await ada.say("40" + json.dumps({"token": mint("ada")}))
        await ada.poll("session:ready")
        await ada.say('421["inbox:list",{}]')
        await reached(node, "notify_inbox_lists_total", 1)
        await post(node, title="live")
        await reached(node, "notify_deliveries_total", 1)
        await ada.poll("live")
        await ada.poll("431[")
        (answer,) = [packet for packet in ada.heard if packet.startswith("431[")]
        (page,) = json.loads(answer[3:])
        assert page["ok"]
        assert 1 <= len(page["data"]) < 5
        assert page["next"] is not None


async def test_who_missed_more_than_may_wait_gets_it_though_no_poll_is_there_for_it(node: Node):
    async with Poller(node) as ada:
        await ada.say("40" + json.dumps({"token": mint("ada")}))
        await ada.poll("session:ready")
        pid = json.loads(next(packet for packet in ada.heard if packet.startswith("40"))[2:])["pid"]
    for number in range(5):
        await post(node, body="x" * 50_000, title=f"missed {number}")
    async with Poller(node) as back:
        await back.say("40" + json.dumps({"token": mint("ada"), "pid": pid}))
        await reached(node, "notify_recovered_total", 1)
        await post(node, title="live")
        await back.poll("live")
        heard = "\n".join(back.heard)
        assert [number for number in range(5) if f"missed {number}" in heard] == list(range(5))
        assert '"recovered":true' in heard
