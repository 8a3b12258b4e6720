"""The opening handshake: what is accepted, what is refused, and how."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from tests.gateway.client_frames import handshake, text
from tests.gateway.loops import on_both_loops
from tests.gateway.raw_client import RawClient
from tests.gateway.sites import serving


@on_both_loops
async def test_the_access_log_has_a_line_for_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "aiohttp.access")
    async with serving() as site:
        client = await RawClient.open(site)
        client.send(text("echo x"))
        await client.frame()
        await client.leave()
    lines = [record.getMessage() for record in caplog.records if record.name == "aiohttp.access"]
    assert len(lines) == 1
    assert '"GET / HTTP/1.1" 101 ' in lines[0]


@pytest.mark.parametrize(
    ("request_head", "status", "header"),
    [
        (handshake(without="Upgrade"), 426, "upgrade: websocket"),
        (handshake(without="Connection"), 426, "connection: upgrade"),
        (handshake(Upgrade="h2c"), 426, "upgrade: websocket"),
        (handshake(Upgrade="websocket, h2c"), 426, "upgrade: websocket"),
        (handshake(Connection="keep-alive"), 426, "upgrade: websocket"),
        (handshake().replace(b"HTTP/1.1", b"HTTP/1.0"), 426, "upgrade: websocket"),
        (handshake(without="Sec-WebSocket-Version"), 400, "sec-websocket-version: 13"),
        (handshake(Sec_WebSocket_Version="8"), 426, "sec-websocket-version: 13"),
        (handshake(Sec_WebSocket_Version="14"), 426, "sec-websocket-version: 13"),
        (handshake(without="Sec-WebSocket-Key"), 400, ""),
        (handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZQ=="), 400, ""),
        (handshake(Sec_WebSocket_Key="*GhlIHNhbXBsZSBub25jZQ=="), 400, ""),
        (handshake(Sec_WebSocket_Key="ü" * 24), 400, ""),
        (handshake(Content_Length="4") + b"body", 400, ""),
        (handshake().replace(b"GET", b"POST"), 405, "allow: get"),
    ],
)
@on_both_loops
async def test_a_wrong_handshake_is_refused(request_head: bytes, status: int, header: str) -> None:
    async with serving() as site:
        client = await RawClient.connect(site)
        client.send(request_head)
        head = (await client.head()).decode().lower()
        assert head.startswith((f"http/1.1 {status} ", f"http/1.0 {status} "))
        assert header in head
        assert "sec-websocket-accept" not in head
        assert site.owners.empty()
        await client.leave()


@on_both_loops
async def test_frames_behind_a_refused_handshake_are_not_read_as_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as site:
        client = await RawClient.connect(site)
        client.send(handshake(Sec_WebSocket_Version="12") + text("GET / HTTP/1.1") * 20)
        answer = await client.rest()
        assert answer.count(b"HTTP/1.1") == 1
        await client.leave()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@on_both_loops
async def test_a_client_that_left_during_the_handler_is_not_handed_over() -> None:
    gone = asyncio.Event()

    async def before(request: web.Request) -> None:
        await gone.wait()
        while request.transport is not None:
            await asyncio.sleep(0.005)
        finished.set()

    finished = asyncio.Event()
    async with serving(before=before) as site:
        client = await RawClient.connect(site)
        client.send(handshake())
        await client.leave()
        gone.set()
        async with asyncio.timeout(30):
            await finished.wait()
    assert site.owners.empty()


def test_the_accept_key_is_that_of_the_rfc() -> None:
    async def run() -> None:
        async with serving() as site:
            client = await RawClient.connect(site)
            client.send(handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
            assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in await client.head()
            await client.leave()

    asyncio.run(run())


@on_both_loops
async def test_a_connection_that_is_closing_already_is_not_handed_over() -> None:
    def before(request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    async with serving(before=before) as site:
        client = await RawClient.connect(site)
        client.send(handshake())
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""
        await client.leave()
    assert site.owners.empty()
