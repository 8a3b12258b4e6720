"""`notify serve --embedded`: one machine, one command, nothing lost and nothing left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from notify.embedded.child import process_start_time
from tests.cli.test_commands import QUIET
from tests.support.cluster import Node
from tests.support.tokens import API_KEY, JWT_SECRET


class EmbeddedNode(Node):
    """A node with its Valkey."""

    arguments = ("serve", "--embedded")

    @property
    def valkey(self) -> psutil.Process:
        """The process of its Valkey."""
        (child,) = psutil.Process(self.pid).children()
        return child


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[EmbeddedNode]:
    node = EmbeddedNode(
        "node-1",
        directory=tmp_path,
        environ={
            "NOTIFY_JWT_SECRET": JWT_SECRET,
            "NOTIFY_API_KEYS": API_KEY,
            "NOTIFY_DATA_DIR": str(tmp_path / "data"),
            "NOTIFY_DRAIN_DELAY": "0",
            "NOTIFY_DRAIN_SECONDS": "0",
        },
    )
    await node.start()
    yield node
    node.kill()


async def posted(node: Node) -> int:
    """Status of a POST."""
    return (await node.post({"to": {"user": "42"}, "title": "x"}))[0]


async def test_it_serves_and_ends_with_its_valkey(node: EmbeddedNode):
    valkey = node.valkey.pid
    assert await posted(node) == 202
    assert await node.terminate() == 0
    assert process_start_time(valkey) is None


async def test_what_was_accepted_is_there_after_sigkill(node: EmbeddedNode):
    notification = {"to": {"user": "42"}, "title": "x"}
    _, first = await node.post(notification, idempotency_key="k")
    node.kill()
    await node.start()
    _, second = await node.post(notification, idempotency_key="k")
    assert first["id"] == second["id"]


async def test_a_valkey_that_dies_comes_back_with_its_data(node: EmbeddedNode):
    notification = {"to": {"user": "42"}, "title": "x"}
    _, first = await node.post(notification, idempotency_key="k")
    os.kill(node.valkey.pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while (answer := await node.post(notification, idempotency_key="k"))[0] != 202:
            assert answer[0] == 503
            await asyncio.sleep(0.05)
    assert answer[1]["id"] == first["id"]
    assert await node.terminate() == 0


async def test_a_second_signal_ends_the_drain(node: EmbeddedNode):
    node.environ["NOTIFY_DRAIN_DELAY"] = "60"
    await node.restart()
    node.signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        while await node.status("/readyz") != 503:
            await asyncio.sleep(0.02)
    assert await posted(node) in (202, 503)  # it still answers
    node.signal(signal.SIGTERM)
    assert await node.ended(within_s=30) == 0


async def test_a_data_directory_in_use_is_told(node: EmbeddedNode):
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "notify", "serve", "--embedded"],
        env={**QUIET, **node.environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"in use by process {node.pid}" in second.stderr
    assert await posted(node) == 202
