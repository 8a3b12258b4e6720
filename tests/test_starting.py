"""How a node begins, and how one ends that nobody is connected to."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint
from tests.support.valkey import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("shared", [False, True], ids=["two ports", "one port"])
async def test_a_node_waits_for_its_redis(tmp_path, shared: bool):
    valkey = Valkey(tmp_path / "valkey")
    async with Cluster(0, directory=tmp_path, valkey=valkey) as cluster:
        node = cluster.add()
        if shared:
            node.environ["NOTIFY_INTERNAL_PORT"] = str(node.port)
        node.spawn()
        await until(lambda: _alive(node))
        status, body = await node.request("GET", "/readyz", key=None)
        assert (status, body["state"]) == (503, "starting")
        status, answer = await node.post({"to": {"user": "ada"}, "title": "x"})
        assert (status, answer["code"]) == (503, "unavailable")
        assert await node.metric("notify_state", state="starting") == 1
        with pytest.raises(Exception, match="503" if shared else "Connect call failed"):
            await RawClient.connect(node.url, {"token": mint("ada")})
        await until(lambda: _says(node, "waiting_for_redis"))
        try:
            await valkey.astart()
            await node.ready()
            waits = [event for event in node.events if event["event"] == "waiting_for_redis"]
            assert len(waits) < 5
            assert "cannot be reached" in waits[0]["reason"]
            client = await RawClient.connect(node.url, {"token": mint("ada")})
            await client.answer()
            assert (await node.post({"to": {"user": "ada"}, "title": "x"}))[0] == 202
            await client.until(lambda: client.notifications)
            assert await node.terminate() == 0
            await client.close()
        finally:
            await valkey.astop()


async def test_a_node_that_waits_ends_when_it_is_told_to(tmp_path):
    async with Cluster(0, directory=tmp_path, valkey=Valkey(tmp_path / "valkey")) as cluster:
        node = cluster.add()
        node.spawn()
        await until(lambda: _alive(node))
        assert await node.terminate() == 0
        assert "start_failed" not in node.log


async def test_it_waits_no_longer_than_it_is_set_to(tmp_path):
    async with Cluster(0, directory=tmp_path, valkey=Valkey(tmp_path / "valkey")) as cluster:
        node = cluster.add(NOTIFY_REDIS_START_TIMEOUT="1")
        node.spawn()
        assert await node.ended() == 1
        (failed,) = [event for event in node.events if event["event"] == "start_failed"]
        assert "cannot be reached" in failed["reason"]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://:wrong@127.0.0.1:{port}/0", "refused"),
        ("redis://nobody:wrong@127.0.0.1:{port}/0", "refused"),
        ("redis://127.0.0.1:{port}/0", "refused"),
        ("redis://:right@127.0.0.1:{port}/99", "refused"),
    ],
)
async def test_what_never_comes_right_ends_it_at_once(tmp_path, url: str, word: str):
    async with Cluster(0, directory=tmp_path) as cluster:
        with cluster.valkey.client() as redis:
            redis.config_set("requirepass", "right")
            node = cluster.add(NOTIFY_REDIS_URL=url.format(port=cluster.valkey.port))
            node.spawn()
            assert await node.ended() == 1
            (failed,) = [event for event in node.events if event["event"] == "start_failed"]
            assert word in failed["reason"]
            assert "Traceback" not in node.log
            redis.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFY_REDIS_URL", "redis://127.0.0.1:1/0?protocol=3"),
        ("NOTIFY_REDIS_URL", "redis://127.0.0.1:1/0?no_such_option=1"),
        ("NOTIFY_REDIS_URL", "redis+sentinel://127.0.0.1:26379"),
        ("NOTIFY_REDIS_URL", "redis+sentinel://127.0.0.1:26379/a/b/c"),
    ],
)
async def test_a_setting_that_cannot_be_used_ends_it_with_a_sentence(tmp_path, name: str, value: str):
    async with Cluster(0, directory=tmp_path, valkey=Valkey(tmp_path / "valkey")) as cluster:
        node = cluster.add(**{name: value})
        node.spawn()
        assert await node.ended() in (1, 2)
        assert "Traceback" not in node.log
        assert node.log.strip()


async def test_an_interrupted_node_that_nobody_is_connected_to_ends_at_once(tmp_path):
    settings = {"NOTIFY_DRAIN_DELAY": "60", "NOTIFY_DRAIN_SECONDS": "60"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        node.signal(signal.SIGINT)
        assert await node.ended(within_s=30) == 0


async def test_a_node_on_a_terminal_logs_for_people(tmp_path):
    async with Cluster(0, directory=tmp_path) as cluster:
        node = cluster.add()
        ours, theirs = os.openpty()
        node.spawn(stderr=theirs)
        os.close(theirs)
        await node.ready()
        shown = os.read(ours, 65536).decode()
        node.kill()
        os.close(ours)
        assert "listening" in shown
        with pytest.raises(ValueError, match=r"Expecting|Extra"):
            json.loads(shown.splitlines()[0])


async def _alive(node: Node) -> bool:
    return await node.status("/healthz") == 200


async def _says(node, event: str) -> bool:
    return event in node.log
