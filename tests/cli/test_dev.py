"""`notify dev`: all of it up by one command, all of it gone with it."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.cli.test_commands import QUIET
from tests.support.ports import free_port

UP = "Ctrl-C stops everything."


class Dev:
    """A running `notify dev`, as a terminal and a browser see it."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.printed = ""
        self._session = session
        self._reading: asyncio.Task[None] | None = None

    async def up(self) -> None:
        """Wait for the banner."""
        self._reading = asyncio.create_task(self._read())
        await self.said(UP)

    async def said(self, text: str) -> None:
        """Wait until it has printed that."""
        assert self._reading is not None
        async with asyncio.timeout(40):
            while text not in self.printed:
                assert self.process.returncode is None or not self._reading.done(), self.printed
                await asyncio.sleep(0.02)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.printed += line.decode()

    @property
    def demo(self) -> str:
        """Where the page is."""
        found = re.search(r"http://localhost:\d+/demo/", self.printed)
        assert found
        return found[0]

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        """Status and JSON of a call to the demo server."""
        async with self._session.request(method, self.demo + path, **kwargs) as response:
            return response.status, await response.json(content_type=None)

    async def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait until the nodes are so."""
        async with asyncio.timeout(40):
            while not condition((await self.call("GET", "nodes"))[1]):
                await asyncio.sleep(0.05)

    def family(self) -> list[psutil.Process]:
        """It, and every process it started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = await asyncio.wait_for(self.process.wait(), 20)
        if self._reading is not None:
            await self._reading
        return code


@asynccontextmanager
async def dev(directory: Path, *arguments: str, **environ: str) -> AsyncIterator[Dev]:
    """`notify dev`, started in `directory`."""
    async with aiohttp.ClientSession() as session:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "notify", "dev", "--port", str(free_port()), *arguments,
            cwd=directory,
            env={**QUIET, **{f"NOTIFY_{name}": value for name, value in environ.items()}},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        started = Dev(process, session)
        try:
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            await started.ended()


async def gone(processes: list[psutil.Process]) -> None:
    """Wait until none of them runs."""
    async with asyncio.timeout(30):
        while alive := [
            each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE
        ]:
            assert alive
            await asyncio.sleep(0.05)


async def test_all_of_it_comes_up_works_and_goes_at_ctrl_c(tmp_path: Path):
    async with dev(tmp_path) as running:
        await running.up()
        status, config = await running.call("GET", "config.json")
        assert status == 200
        assert [person["node"] for person in config["people"]] == ["node-1", "node-2"]
        assert all(node["alive"] for node in config["nodes"])

        (curl,) = re.findall(r"^  curl (?:.*\\\n)*.*", running.printed, re.MULTILINE)
        copied = await asyncio.create_subprocess_shell(curl, stdout=asyncio.subprocess.PIPE)
        answer, _ = await asyncio.wait_for(copied.communicate(), 20)
        assert b'"status":"accepted"' in answer

        posted = {"to": {"user": "ada"}, "title": "Hello"}
        status, accepted = await running.call("POST", "api/notifications", json=posted)
        assert status == 202
        status, problem = await running.call("POST", "api/notifications", json={"to": {}})
        assert status == 422
        assert problem["code"] == "invalid"
        headers = {"Idempotency-Key": "k1"}
        _, first = await running.call("POST", "api/notifications", json=posted, headers=headers)
        _, second = await running.call("POST", "api/notifications", json=posted, headers=headers)
        assert first["id"] == second["id"] != accepted["id"]
        status, batch = await running.call(
            "POST", "api/notifications/batch", json={"notifications": [posted] * 3}
        )
        assert (status, batch["accepted"]) == (202, 3)

        family = running.family()
        assert len(family) == 4  # itself, a Valkey, two nodes
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
        await gone(family)
        assert "Traceback" not in running.printed


async def test_nodes_that_are_killed_or_drained_come_back_and_posts_go_on(tmp_path: Path):
    async with dev(tmp_path) as running:
        await running.up()
        status, node = await running.call("POST", "nodes/node-1/kill")
        assert (status, node["alive"]) == (202, False)
        status, _ = await running.call(
            "POST", "api/notifications", json={"to": {"user": "ada"}, "title": "x"}
        )
        assert status == 202
        await running.until(lambda nodes: all(node["alive"] for node in nodes) and nodes[0]["restarts"] == 1)
        status, _ = await running.call("POST", "nodes/node-2/drain")
        assert status == 202
        await running.until(lambda nodes: all(node["alive"] for node in nodes) and nodes[1]["restarts"] == 1)
        assert (await running.call("POST", "nodes/node-9/kill"))[0] == 404
        assert "node-1 was killed (SIGKILL)" in running.printed
        assert "node-2 has drained" in running.printed


async def test_killed_it_leaves_nothing_running_and_starts_again_on_its_data(tmp_path: Path):
    async with dev(tmp_path, "--nodes", "1", "--no-demo") as running:
        await running.up()
        family = running.family()
        running.process.kill()
        await running.ended()
        await gone(family)
    key = re.search(r"dev-[0-9a-f]{32}", running.printed)
    assert key
    async with dev(tmp_path, "--nodes", "1", "--no-demo") as again:
        await again.up()
        assert key[0] in again.printed
        assert ".notify/dev " in again.printed


async def test_two_at_once_do_not_fight(tmp_path: Path):
    async with dev(tmp_path, "--nodes", "1") as first:
        await first.up()
        async with dev(tmp_path, "--nodes", "1") as second:
            await second.up()
            assert ".notify/dev-2 " in second.printed
            assert first.demo != second.demo
            for running in (first, second):
                status, _ = await running.call(
                    "POST", "api/notifications", json={"to": {"user": "a"}, "title": "x"}
                )
                assert status == 202
        async with dev(tmp_path, "--data-dir", str(tmp_path / ".notify" / "dev")) as third:
            third._reading = asyncio.create_task(third._read())
            assert await third.ended() == 1
            assert f"in use by process {first.process.pid}" in third.printed


async def test_a_wrong_environment_is_told_before_anything_starts(tmp_path: Path):
    async with dev(tmp_path, "--no-demo", PYTHON="x") as running:
        running._reading = asyncio.create_task(running._read())
        assert await running.ended() == 2
    assert "NOTIFY_PYTHON: There is no such setting" in running.printed


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
async def test_other_ends_are_as_orderly(tmp_path: Path, sign: signal.Signals):
    async with dev(tmp_path, "--nodes", "1", "--no-demo") as running:
        await running.up()
        family = running.family()
        running.process.send_signal(sign)
        assert await running.ended() == 0
        await gone(family)


async def test_a_port_that_is_asked_for_and_taken_is_an_error(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with dev(tmp_path, "--port", str(port)) as running:
            await asyncio.wait_for(running.process.wait(), 20)
            assert running.process.stdout is not None
            printed = (await running.process.stdout.read()).decode()
    assert running.process.returncode == 1
    assert f"Port {port} is taken: choose another with --port." in printed
    assert "Traceback" not in printed


async def test_keys_find_the_one_that_runs_here_and_ask_when_several_do(tmp_path: Path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    async def keys() -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "notify", "keys", "create", "mine",
            cwd=below, env=QUIET, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode or 0, printed.decode()

    code, printed = await keys()
    assert code == 2
    assert "no `notify dev` runs in this directory or one above it" in printed
    async with dev(tmp_path, "--nodes", "1", "--no-demo") as first:
        await first.up()
        code, printed = await keys()
        assert code == 0
        assert f"`notify dev` running in {tmp_path}/.notify/dev." in printed
        (key,) = [line for line in printed.splitlines() if " " not in line]
        (api,) = re.findall(r"its API: (http://localhost:\d+)/docs", first.printed)
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{api}/v1/notifications", json={"to": {"user": "ada"}}) as response,
        ):
            assert response.status == 202
        async with dev(tmp_path, "--nodes", "1", "--no-demo") as second:
            await second.up()
            code, printed = await keys()
            assert code == 2
            assert "NOTIFY_DATA_DIR" in printed
            assert ".notify/dev-2" in printed
