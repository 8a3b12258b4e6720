"""A Redis that takes no writes: callers hear it, the log says it once a while, a metric counts it."""

from __future__ import annotations

import pytest

from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(60)


async def test_refused_writes_are_logged_once_a_while_and_counted(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        with cluster.valkey.client() as redis:
            redis.config_set("maxmemory", "1")
            for _ in range(20):
                status, answer = await node.post({"to": {"user": "ada"}, "title": "x"})
                assert (status, answer["code"]) == (503, "unavailable")
                assert answer["detail"] == "Redis does not accept writes now: it is at its maxmemory"
            assert await node.metric("notify_redis_writes_refused_total", reason="OOM") >= 20
            assert await node.metric("notify_refused_total", code="unavailable") == 20
            redis.config_set("maxmemory", "0")
        assert (await node.post({"to": {"users": ["ada", "bo"], "room": "r"}, "title": "x"}))[0] == 202
        assert await node.metric("notify_published_channels_total") == 3
        assert await node.terminate() == 0
        said = [event for event in node.events if event["event"] == "redis_refuses_writes"]
        assert 1 <= len(said) < 5
        assert "OOM" in said[0]["reason"]
