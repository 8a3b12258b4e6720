"""The light clients of a storm find what is lost, doubled or reordered, and come back as stock clients do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from tests.chaos.herd import Herd


class Scripted:
    """A server that says what it is told to: one list of texts for each connection, after its CONNECT."""

    def __init__(self, *scripts: Sequence[str]) -> None:
        self._scripts = list(scripts)
        self.asked: list[dict[str, Any]] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.wait(self._visits)

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        with suppress(ConnectionError):
            await self._serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + _frame('0{"sid":"x"}'))
        head = await reader.readexactly(2)
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        await reader.readexactly(4)  # the mask, of zeros
        self.asked.append(json.loads((await reader.readexactly(size))[2:]))
        script = self._scripts.pop(0)
        for text in script:
            if text == "":
                return
            for byte in _frame(text):  # in the smallest pieces that there are
                writer.write(bytes((byte,)))
            await writer.drain()
        await reader.read()


def _frame(text: str) -> bytes:
    data = text.encode()
    if len(data) < 126:
        return bytes((0x81, len(data))) + data
    return b"\x81\x7e" + len(data).to_bytes(2, "big") + data


def told(stream: str, number: int, place: int) -> str:
    return f'42["notification",{{"id":"ntf_1","title":"{stream}#{number}","data":{{}}}},"e-{place}-0"]'


CONNECTED = '40{"sid":"s","pid":"p"}'


@pytest.fixture
async def play():
    """Have one client, `user-0` in `room-0`, hear scripts; the herd once a condition holds."""
    servers: list[Scripted] = []
    herds: list[Herd] = []

    async def run(until: Callable[[Herd], bool], *scripts: Sequence[str]) -> tuple[Herd, Scripted]:
        scripted = Scripted(*scripts)
        await scripted.start()
        servers.append(scripted)
        herd = Herd()
        herds.append(herd)
        herd.come(first=0, count=1, rooms=1, ports=[scripted.port], seed=1)
        async with asyncio.timeout(30):
            while not until(herd):
                await asyncio.sleep(0.01)
        return herd, scripted

    yield run
    for herd in herds:
        herd.leave()
    for server in servers:
        await server.stop()


@pytest.mark.parametrize(
    ("events", "faults", "missing"),
    [
        ([("u:user-0", 1, 10), ("r:room-0", 1, 11), ("u:user-0", 2, 12)], {}, 0),
        ([("r:room-0", 1, 10), ("u:user-0", 1, 11)], {}, 1),
        ([("u:user-0", 2, 10), ("r:room-0", 1, 11)], {"lost": 1}, 0),
        ([("u:user-0", 1, 10), ("u:user-0", 1, 11), ("r:room-0", 1, 12)], {"duplicates": 1}, 1),
        ([("u:user-0", 1, 10), ("r:room-0", 1, 9), ("u:user-0", 2, 12)], {"out_of_order": 1}, 0),
        ([("u:user-0", 1, 10), ("u:user-1", 1, 11), ("r:room-0", 1, 12)], {"foreign": 1}, 1),
    ],
)
async def test_what_is_wrong_is_found(play, events, faults, missing):
    script = [CONNECTED, *(told(*event) for event in events)]
    herd, _ = await play(lambda herd: herd.arrived == len(events), script)
    assert herd.figures()["faults"] == faults
    assert herd.missing(posted={"u:user-0": 2, "r:room-0": 1}) == {"missing": missing}


async def test_a_client_comes_back_with_its_place_and_is_not_taken_for_one_that_lost_it(play):
    herd, scripted = await play(
        lambda herd: herd.state()["returns"] == 1,
        [CONNECTED, told("u:user-0", 1, 10), ""],
        [told("r:room-0", 1, 12), CONNECTED],
    )
    assert [asked.get("pid") for asked in scripted.asked] == [None, "p"]
    assert scripted.asked[1]["offset"] == "e-10-0"
    figures = herd.figures()
    assert figures["told"] == 0
    assert len(figures["replays"]) == 1
    assert figures["away"][0] - figures["beyond"][0] >= 0.5


async def test_a_client_that_gets_another_pid_was_told_that_its_place_is_lost(play):
    herd, _ = await play(
        lambda herd: herd.told == 1,
        [CONNECTED, told("u:user-0", 1, 10), ""],
        ['40{"sid":"t","pid":"q"}'],
    )
    assert herd.state()["returns"] == 0
