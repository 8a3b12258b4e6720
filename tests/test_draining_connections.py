"""What callers with pools of connections see of a node that drains; R17 of the chaos rolls all of them."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(60)


async def test_answers_of_a_node_that_drains_say_close(tmp_path):
    settings = {"NOTIFY_DRAIN_DELAY": "0", "NOTIFY_SHUTDOWN_SECONDS": "10"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        reader, writer = await asyncio.open_connection("127.0.0.1", node.internal_port)
        get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(get)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"close" not in head
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        ending = asyncio.create_task(node.terminate())
        while "drained" not in node.log:
            await asyncio.sleep(0.01)
        writer.write(get)
        assert b"\r\nConnection: close\r\n" in await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        assert await ending == 0
        writer.close()
