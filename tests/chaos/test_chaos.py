"""The chaos run can fail, and does not: its parts on their own, and a short seeded selection of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.__main__ import runs
from tests.chaos.checker import check
from tests.chaos.next_node import NextNode
from tests.chaos.proxy import Proxy
from tests.chaos.publisher import Accepted
from tests.chaos.record import Record

TOO_LONG = {"R2", "R7", "R10", "R11", "R16"}
"""Left to `make chaos`."""
SEED = 7


def record() -> Record:
    """Somebody who was connected from the start."""
    found = Record("ada", ["lobby"])
    found.admitted(0.0, recovered=False)
    return found


def accepted(count: int, stream: str = "u:ada") -> list[Accepted]:
    return [Accepted(stream, number, 10.0 + number) for number in range(1, count + 1)]


def took(one: Record, *numbers: int, stream: str = "u:ada") -> None:
    for place, number in enumerate(numbers):
        one.took(f"{stream}#{number}", f"e-{1000 + place}-0", 20.0 + place)


def test_all_of_it_in_order_is_clean():
    one = record()
    took(one, 1, 2, 3)
    verdict = check(accepted(3), [one])
    assert verdict.clean
    assert (verdict.accepted, verdict.arrived) == (3, 3)


def test_a_lost_one_is_found():
    one = record()
    took(one, 1, 3)
    verdict = check(accepted(3), [one])
    assert (verdict.lost, verdict.duplicates, verdict.out_of_order) == (1, 0, 0)
    assert "u:ada#2" in verdict.examples[0]


def test_one_lost_in_a_room_is_found():
    one = record()
    verdict = check(accepted(2, "r:lobby"), [one])
    assert verdict.lost == 2
    assert check(accepted(2, "r:elsewhere"), [one]).lost == 0


def test_a_doubled_one_is_found():
    one = record()
    took(one, 1, 2, 2)
    verdict = check(accepted(2), [one])
    assert (verdict.lost, verdict.duplicates) == (0, 1)


def test_a_reordered_one_is_found():
    one = record()
    one.took("u:ada#1", "e-1001-0", 20.0)
    one.took("u:ada#2", "e-1000-0", 20.1)
    verdict = check(accepted(2), [one])
    assert verdict.out_of_order == 1
    assert not verdict.clean


def test_who_was_told_is_not_owed_what_it_missed():
    one = record()
    took(one, 1)
    one.lost(11.5)
    one.admitted(14.5, recovered=False)
    verdict = check(accepted(3), [one])
    assert (verdict.lost, verdict.told) == (0, 1)


def test_a_session_that_is_unknown_for_no_reason_is_found():
    owner = SimpleNamespace(name="node-1", port=1, pid=10, running=True)
    here: Any = SimpleNamespace(nodes=[owner], balancer=SimpleNamespace(ready=[owner]))
    front = NextNode(here)
    unknown = b'HTTP/1.1 400 Bad Request\r\n\r\n{"code":1,"message":"Session ID unknown"}'
    for sid in (b"abcd1", b"abcd2"):
        front.answered(b"GET /?EIO=4 HTTP/1.1", 1, b'HTTP/1.1 200 OK\r\n\r\n0{"sid":"%b","x":1}' % sid)
    front.answered(b"GET /?EIO=4&sid=abcd1 HTTP/1.1", 1, unknown)
    assert front.unknown == {"no reason": 1}
    front.answered(b"GET /?EIO=4&sid=abcd2 HTTP/1.1", 1, b"")
    front.answered(b"GET /?EIO=4&sid=abcd2 HTTP/1.1", 1, unknown)
    front.leaving.add("node-1")
    front.answered(b"GET /?EIO=4&sid=abcd1 HTTP/1.1", 1, unknown)
    owner.pid = 11
    front.answered(b"GET /?EIO=4&sid=abcd1 HTTP/1.1", 1, unknown)
    front.answered(b"GET /?EIO=4&sid=zzzz1 HTTP/1.1", 1, unknown)
    assert front.unknown == dict.fromkeys(
        ("no reason", "answering node gone", "owner drained", "owner gone", "never opened"), 1
    )


@pytest.fixture
async def echo():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.stop()
    server.close()


async def test_the_proxy_passes_stalls_and_cuts(echo: Proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(b"one")
    assert await reader.read(10) == b"one"
    echo.mode("stall")
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.read(10)
    echo.mode("pass")
    async with asyncio.timeout(5):
        assert await reader.read(10) == b"two"
    echo.cut()
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(5):
            if await reader.read(10) == b"":
                raise ConnectionResetError
    writer.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", sorted(runs(short=True).keys() - TOO_LONG))
async def test_nothing_is_lost_doubled_or_reordered(name: str, tmp_path: Path):
    report = await runs(short=True)[name](tmp_path, SEED, quiet=True)
    assert report.ok, report
