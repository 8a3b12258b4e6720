"""Several `notify dev` that start at the same time choose different ports."""

from __future__ import annotations

import asyncio
from pathlib import Path

from notify.cli.devserver.ports import Ports, one_at_a_time
from tests.support.ports import free_port


async def test_who_starts_meanwhile_chooses_once_the_first_one_listens(tmp_path: Path):
    wanted = free_port()
    started: list[asyncio.Server] = []

    async def start() -> int:
        async with one_at_a_time(tmp_path):
            port = Ports().take(wanted)
            await asyncio.sleep(0.1)
            started.append(await asyncio.start_server(lambda *_: None, "127.0.0.1", port))
            return port

    found = await asyncio.gather(start(), start(), start())
    for server in started:
        server.close()
    assert len(set(found)) == 3


async def test_one_that_never_gets_there_is_not_waited_for_for_ever(tmp_path: Path):
    async with one_at_a_time(tmp_path), one_at_a_time(tmp_path, within_s=0.1):
        pass
