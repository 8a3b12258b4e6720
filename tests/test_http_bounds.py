"""One stranger with a raw socket against a real node: everybody else is answered as ever."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from contextlib import suppress

import pytest

from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import API_KEY, mint

pytestmark = pytest.mark.timeout(120)

SECRET = "hunter2-of-a-stranger"
CHUNKED = b"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "chunk line": CHUNKED + b"z" * 240_000,
    "cookie": f"GET / HTTP/1.1\r\nCookie: sid={SECRET}\r\nBad Name: {SECRET}\r\n\r\n".encode(),
    "query": f"GET /?token={SECRET} HTTP/7.7\r\nHost: x\r\n\r\n".encode(),
    "key": f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\x00\r\n\r\n".encode(),
    "not HTTP": SECRET.encode() + b"\r\n\r\n",
    "long": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + SECRET.encode() + b"x" * 200_000,
}


async def exchanged(port: int, data: bytes) -> bytes:
    """All that a port answers to this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    with suppress(ConnectionError):
        writer.write(data)
        while piece := await reader.read(65536):
            found += piece
    writer.close()
    return found


@pytest.mark.parametrize("shared", [False, True], ids=["two ports", "one port"])
async def test_what_is_no_http_is_answered_and_neither_logged_nor_quoted(tmp_path, shared: bool):
    async with Cluster(0, directory=tmp_path) as cluster:
        node = cluster.add()
        if shared:
            node.environ["NOTIFY_INTERNAL_PORT"] = str(node.port)
        await node.start()
        internal = int(node.environ["NOTIFY_INTERNAL_PORT"])
        for name, data in MALFORMED.items():
            asking = asyncio.create_task(exchanged(internal, data))
            # None of these regexes, or whatever looks at the text, may hold the loop.
            assert await asyncio.wait_for(node.status("/healthz"), 5) == 200
            answer = await asyncio.wait_for(asking, 20)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert re.match(rb"HTTP/1\.[01] (400|431) ", head), (name, answer[:300])
            assert b"application/problem+json" in head, name
            assert re.search(rb"\r\nX-Request-Id: req-", head), name
            assert json.loads(body)["code"] in ("bad_request", "head_too_large"), name
            assert SECRET.encode() not in answer, name
        if not shared:
            for name, data in MALFORMED.items():
                if name == "chunk line":
                    continue  # that is a body, of a request that is answered 404 without it
                answer = await asyncio.wait_for(exchanged(node.port, data), 20)
                assert re.match(rb"HTTP/1\.[01] (400|431) ", answer), (name, answer[:300])
                assert SECRET.encode() not in answer, name
        assert await node.metric("notify_http_connections_ended_total", reason="malformed") > 0
        assert await node.terminate() == 0
        assert SECRET not in node.log
        assert "zzzz" not in node.log
        assert [event for event in node.events if event["level"] == "error"] == []


async def test_no_answer_says_what_the_service_is_made_of(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        body = b'{"to":{"user":"ada"},"title":"x"}'
        post = b"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        post += f"Authorization: Bearer {API_KEY}\r\nContent-Length: {len(body)}\r\n".encode()
        close = b"Connection: close\r\n\r\n"
        asked: dict[bytes, list[bytes]] = {
            b"public": [
                b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n" + close,
                b"GET /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\n" + close,
                b"GET /client/inbox.js HTTP/1.1\r\nHost: x\r\n" + close,
                b"GET /nowhere HTTP/1.1\r\nHost: x\r\n" + close,
                MALFORMED["not HTTP"],
                MALFORMED["long"],
            ],
            b"internal": [
                post + close + body,
                post + b"Idempotency-Key: k\r\n" + close + body,
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + close,
                b"GET /v1/notifications/x HTTP/1.1\r\nHost: x\r\n" + close,
                b"GET /nowhere HTTP/1.1\r\nHost: x\r\n" + close,
                MALFORMED["not HTTP"],
                MALFORMED["long"],
            ],
        }
        ports = {b"public": node.port, b"internal": int(node.environ["NOTIFY_INTERNAL_PORT"])}
        statuses = []
        for name, requests in asked.items():
            for data in requests:
                answer = await asyncio.wait_for(exchanged(ports[name], data), 20)
                head = answer.partition(b"\r\n\r\n")[0]
                statuses.append(int(head.split()[1]))
                assert re.findall(rb"\r\nServer: ([^\r]*)", head) == [b"notify"], (name, data[:99], head)
                assert not re.search(rb"(?i)python|aiohttp", answer.partition(b"\r\n\r\n")[0]), head
        assert statuses == [200, 400, 200, 404, 400, 431, 202, 202, 200, 401, 404, 400, 431]


async def test_the_chunk_line_alone_costs_no_time(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        flood = [
            asyncio.create_task(exchanged(node.internal_port, CHUNKED + b"z" * 240_000)) for _ in range(20)
        ]
        began = time.monotonic()
        status, _ = await node.post({"to": {"user": "ada"}, "title": "x"})
        assert status == 202
        assert time.monotonic() - began < 10  # it was 26 s for each
        await asyncio.gather(*flood)


def limits(node: Node) -> tuple[int, int]:
    with open(f"/proc/{node.pid}/limits", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    return int(soft), int(hard)


async def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(tmp_path):
    async with Cluster(0, directory=tmp_path) as cluster:
        node = cluster.add(NOTIFY_MAX_CONNECTIONS="100")
        node.spawn(shell='ulimit -Sn 200; exec "$@"')
        await node.ready()
        soft, hard = limits(node)
        assert soft == hard > 200
        assert "few_descriptors" not in node.log


async def test_few_descriptors_are_warned_of_and_some_are_kept_for_probes_and_redis(tmp_path):
    async with Cluster(0, directory=tmp_path) as cluster:
        node = cluster.add(NOTIFY_MAX_CONNECTIONS="1000")
        node.spawn(shell='ulimit -n 200; exec "$@"')
        await node.ready()
        (warning,) = [event for event in node.events if event["event"] == "few_descriptors"]
        assert warning["limit"] == 200
        room = warning["connections"]
        assert 50 < room < 136
        clients = [await RawClient.connect(node.url, {"token": mint(f"user-{n}")}) for n in range(room)]
        for client in clients:
            assert not (await client.answer())["refused"]
        with pytest.raises(Exception, match="503"):  # an answer, not a reset
            await RawClient.connect(node.url, {"token": mint("late")})
        silent = [await asyncio.open_connection("127.0.0.1", node.internal_port) for _ in range(300)]
        for _ in range(5):
            assert await node.status("/healthz") == 200
            assert (await node.post({"to": {"user": "user-0"}, "title": "x"}))[0] == 202
        await clients[0].until(lambda: clients[0].notifications)
        assert len(os.listdir(f"/proc/{node.pid}/fd")) < 200
        assert await node.metric("notify_http_connections_ended_total", reason="evicted") > 0
        with cluster.valkey.client() as redis:  # and a new connection to Redis can be had
            redis.client_kill_filter(_type="normal", skipme=True)
        async with asyncio.timeout(30):
            while (await node.post({"to": {"user": "user-0"}, "title": "again"}))[0] != 202:
                await asyncio.sleep(0.05)
        for _, writer in silent:
            writer.close()
        await asyncio.gather(*(client.close() for client in clients))


async def test_a_request_may_not_write_more_than_its_bound_to_redis(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        text = "x" * 50_000
        users = [f"user-{number}" for number in range(1000)]
        batch = [{"to": {"users": users}, "title": "t", "body": text} for _ in range(10)]
        status, answer = await node.request(
            "POST",
            "/v1/notifications/batch",
            json={"notifications": batch},
            headers={"Idempotency-Key": "much"},
        )
        assert (status, answer["code"]) == (413, "too_large")
        assert "NOTIFY" not in answer["detail"]
        with cluster.valkey.client() as redis:
            assert [key for key in redis.scan_iter(count=1000) if b"user-" in key or b"much" in key] == []
        assert (await node.post(batch[0]))[0] == 202  # 50 MB: what one notification may come to
        assert (await node.post([{"to": {"users": users}, "title": "t"}] * 10, batch=True))[0] == 202
