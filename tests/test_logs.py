"""A whole run's logs: one JSON line an event, a request id from ingest to delivery, never a secret."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY, JWT_SECRET, mint

pytestmark = pytest.mark.timeout(120)

PAYLOAD = "kept-between-sender-and-receiver"
JWT_LIKE = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.")


async def test_a_run_tells_what_happened_and_no_secret(tmp_path):
    async with Cluster(2, directory=tmp_path, environ={"NOTIFY_LOG_LEVEL": "debug"}) as cluster:
        a, b = cluster.nodes
        token = mint("ada", join=["lobby"], rooms=["*"], send=["*"])
        client = await RawClient.connect(b.url, {"token": token})
        pid = (await client.answer())["pid"]
        secret_fields = {
            "title": PAYLOAD,
            "body": PAYLOAD,
            "url": f"https://example.com/{PAYLOAD}",
            "data": {"secret": PAYLOAD},
        }
        body = {"to": {"user": "ada"}, **secret_fields}
        status, _ = await a.request(
            "POST", "/v1/notifications", json=body, headers={"X-Request-Id": "req-42"}
        )
        assert status == 202
        await a.post([body, {"title": PAYLOAD}], batch=True)
        await client.until(lambda: len(client.notifications) == 2)
        assert (await client.call("room:join", {"room": "other"}))["ok"]
        assert (await client.call("send", {"to": {"user": "ada"}, "data": PAYLOAD}))["ok"]
        # and everything that can go wrong, with the same secrets in it
        for wrong in (token[:-3] + "xyz", PAYLOAD, [token], None):
            refused = await RawClient.connect(a.url, {"token": wrong, "pid": pid})
            await refused.answer()
            await refused.close()
        broken = await RawClient.connect(a.url, {"token": token})
        await broken.answer()
        await broken.send(f'42["{PAYLOAD}')
        await broken.closed.wait()
        await a.request("POST", "/v1/notifications", json={**body, PAYLOAD: 1})
        await a.request("POST", "/v1/notifications", data=f'{{"title":"{PAYLOAD}'.encode())
        await a.request("POST", "/v1/notifications", json=body, key="not-a-key-" + PAYLOAD)
        with cluster.valkey.client() as redis:
            redis.client_kill_filter(_type="pubsub")
            redis.client_kill_filter(_type="normal")
            redis.publish("notify:socketio", PAYLOAD)
        await client.lose()
        while not (await a.metric("notify_redis_connected") and await a.metric("notify_subscribed")):
            await asyncio.sleep(0.05)
        again = await RawClient.connect(a.url, {"token": token, "pid": pid})
        await again.answer()
        await again.close()
        codes = [await node.terminate() for node in cluster.nodes]
        assert codes == [0, 0]

        for node in cluster.nodes:
            lines = node.log.splitlines()
            assert lines
            for line in lines:
                event = json.loads(line)
                assert {"event", "level", "timestamp", "node"} <= event.keys(), line
                assert event["node"] == node.name
            for secret in (PAYLOAD, token, API_KEY, JWT_SECRET, pid):
                assert secret not in node.log
            assert not JWT_LIKE.search(node.log)
        (accepted,) = [event for event in a.events if event["event"] == "accepted"]
        assert accepted["request_id"] == "req-42"
        delivered = [event for event in b.events if event["event"] == "delivered"]
        assert "req-42" in [event["request_id"] for event in delivered]
