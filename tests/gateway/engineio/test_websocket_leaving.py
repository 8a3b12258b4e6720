"""Ending a websocket so that its client comes back: the end of the stream, and no close frame."""

from __future__ import annotations

import asyncio

import pytest

from notify.gateway.engineio.transports import websocket
from notify.protocol.engineio import frame
from tests.gateway.client_frames import PING, client_frame, close, text
from tests.gateway.loops import on_both_loops
from tests.gateway.raw_client import RawClient
from tests.gateway.sites import Recorder, Site, serving

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
MUCH = 300_000


async def opened(site: Site) -> tuple[RawClient, Recorder]:
    client = await RawClient.open(site)
    return client, await site.owner()


@TLS
@on_both_loops
async def test_all_that_was_written_arrives_and_then_the_end_without_a_close_frame(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        owner.socket.write(frame(b"x" * MUCH))
        owner.socket.leave()
        owner.socket.leave()
        owner.socket.write(frame(b"after"))
        owner.socket.close()
        assert await client.frame() == (0x1, b"x" * MUCH)
        assert await client.rest() == b""
        await client.leave()
        await owner.until(owner.is_closed)
        assert owner.closed == [(1006, False)]


@on_both_loops
async def test_what_was_written_arrives_though_the_peer_goes_on_sending() -> None:
    """With input unread, closing the transport would be a reset, and would take what was written with it."""
    async with serving() as site:
        client, owner = await opened(site)
        client.stop_reading()
        owner.socket.write(frame(b"x" * MUCH))
        for _ in range(20):
            client.send(text("y" * 1000) + client_frame(PING))
            await asyncio.sleep(0)
        owner.socket.leave()
        for _ in range(20):
            client.send(text("y" * 1000) + close(1000))
            await asyncio.sleep(0.001)
        client.read_on()
        assert await client.frame() == (0x1, b"x" * MUCH)
        await client.rest()  # pongs that left before
        received = len(owner.received)
        await client.leave()
        await owner.until(owner.is_closed)
        assert len(owner.received) == received, "nothing is heard after the end"


@on_both_loops
async def test_a_reader_that_was_paused_still_sees_the_peer_leave() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        owner.socket.pause_reading()
        client.send(text("waits"))
        owner.socket.leave()
        assert await client.rest() == b""
        await client.leave()
        await owner.until(owner.is_closed)
        assert owner.received == []


@TLS
@on_both_loops
async def test_a_peer_that_does_not_leave_is_cut_off(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        owner.socket.write(frame(b"x" * MUCH))
        client.stop_reading()
        before, websocket.LINGER_S = websocket.LINGER_S, 0.05
        try:
            owner.socket.leave()
        finally:
            websocket.LINGER_S = before
        await owner.until(owner.is_closed)
        client.reset()


@on_both_loops
async def test_a_peer_that_talks_on_without_end_is_cut_off() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        owner.socket.leave()
        async with asyncio.timeout(websocket.LINGER_S - 1):
            while not owner.closed:
                client.send(text("y" * 100_000))
                await asyncio.sleep(0.001)
        client.reset()
