"""A node whose log goes nowhere: it answers, delivers and drains as ever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(240)

LINES = 8000
"""A line of some 200 bytes each POST: more than a pipe and the writer's queue hold."""
FEW_LINES = 400
"""For a log that fails at the first line."""


@contextmanager
def closed(node: Node) -> Iterator[None]:
    node.spawn(shell='exec "$@" >&- 2>&-')
    yield


@contextmanager
def on_a_full_disk(node: Node) -> Iterator[None]:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    full = os.open("/dev/full", os.O_WRONLY)
    node.spawn(stderr=full)
    os.close(full)
    yield


@contextmanager
def unread(node: Node) -> Iterator[None]:
    reading, writing = os.pipe()
    node.spawn(stderr=writing)
    os.close(writing)
    yield
    os.close(reading)


@contextmanager
def without_a_reader(node: Node) -> Iterator[None]:
    reading, writing = os.pipe()
    node.spawn(stderr=writing)
    os.close(writing)
    os.close(reading)
    yield


@pytest.mark.parametrize("spawned", [closed, on_a_full_disk, unread, without_a_reader])
async def test_a_log_that_goes_nowhere_decides_nothing(tmp_path, spawned):
    async with Cluster(1, directory=tmp_path) as cluster:
        node = cluster.add(NOTIFY_LOG_LEVEL="debug")
        with spawned(node):
            await node.ready()
            client = await RawClient.connect(node.url, {"token": mint("ada")})
            await client.answer()
            batch = [{"to": {"user": "bob"}, "title": str(number)} for number in range(10)]
            for _ in range((LINES if spawned is unread else FEW_LINES) // 40):
                answers = await asyncio.gather(*(node.post(item) for item in batch * 4))
                assert {status for status, _ in answers} == {202}
            status, _ = await node.post({"to": {"user": "ada"}, "title": "heard"})
            assert status == 202
            await client.until(lambda: client.notifications)
            assert await node.status("/healthz") == 200
            if spawned is not closed:  # then it goes to /dev/null, which takes everything
                assert await node.metric("notify_log_lines_dropped_total") > 0
            assert await node.terminate() == 0
            await client.closed.wait()
