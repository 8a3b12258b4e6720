"""Connections handed over from aiohttp: real sockets, two client libraries, both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from pathlib import Path

import aiohttp
import pytest
import websockets
from aiohttp import web
from aiohttp.http import HttpRequestParser, StreamWriter
from aiohttp.web_protocol import RequestHandler

from notify.protocol.engineio import frame
from tests.gateway.certificates import tls_contexts
from tests.gateway.client_frames import BINARY, PING, client_frame, close, fragments, handshake, text
from tests.gateway.loops import on_both_loops
from tests.gateway.raw_client import RawClient
from tests.gateway.sites import Recorder, Site, serving

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def converse(client: websockets.ClientConnection, site: Site) -> None:
    """Everything an ordinary client does."""
    owner = await site.owner()
    await client.send("echo Grüße")
    assert await client.recv() == "echo Grüße"
    await client.send("echo " + "x" * 300_000)
    assert len(await client.recv()) == 300_005
    await client.send([b"in ", b"three ", b"parts"])
    await (await client.ping(b"are you there?"))
    await owner.until(lambda: len(owner.received) == 3)
    assert owner.received[2] == b"in three parts"
    assert client.protocol.extensions == []
    owner.socket.write(frame(b"one") + frame(b"\xff", BINARY) + frame(b"three"))
    assert [await client.recv() for _ in range(3)] == ["one", b"\xff", "three"]
    await client.close(3001, "bye")
    await owner.until(owner.is_closed)
    assert owner.closed == [(3001, True)]
    assert client.close_code == 3001


@on_both_loops
async def test_a_websockets_client_converses() -> None:
    async with serving() as site, websockets.connect("ws" + site.url) as client:
        await converse(client, site)


@on_both_loops
async def test_a_websockets_client_converses_over_a_unix_socket(tmp_path: Path) -> None:
    async with serving(unix=tmp_path / "s") as site, websockets.unix_connect(site.path) as client:
        await converse(client, site)


@on_both_loops
async def test_a_websockets_client_converses_over_tls() -> None:
    _, trusting = tls_contexts()
    async with serving(tls=True) as site, websockets.connect("wss" + site.url, ssl=trusting) as client:
        await converse(client, site)


@on_both_loops
async def test_an_aiohttp_client_converses_and_gets_no_extension_and_no_subprotocol() -> None:
    async with serving() as site, aiohttp.ClientSession() as session:
        offer = session.ws_connect("http" + site.url, compress=15, protocols=["mine"])
        async with offer as client:
            owner = await site.owner()
            assert client.compress == 0
            assert client.protocol is None
            await client.send_str("echo one")
            assert (await client.receive()).data == "echo one"
            await client.send_bytes(b"two")
            await owner.until(lambda: b"two" in owner.received)
            owner.socket.close(1012, "restart")
            assert (await client.receive()).type is aiohttp.WSMsgType.CLOSE
            assert client.close_code == 1012
        await owner.until(owner.is_closed)
        assert owner.closed == [(1012, True)]


# What was sent right behind the request


@on_both_loops
async def test_frames_in_one_packet_with_the_request_are_read() -> None:
    async with serving() as site:
        behind = text("echo first") + b"".join(fragments(BINARY, b"sec", b"ond")) + client_frame(PING, b"p")
        client = await RawClient.open(site, behind=behind + text("third")[:3])
        owner = await site.owner()
        assert [await client.frame() for _ in range(2)] == [(1, b"echo first"), (0xA, b"p")]
        client.send(text("third")[3:])
        await owner.until(lambda: len(owner.received) == 3)
        assert owner.received == ["echo first", b"second", "third"]
        await client.leave()


@on_both_loops
async def test_frames_in_one_packet_with_the_request_are_read_over_tls() -> None:
    async with serving(tls=True) as site:
        client = await RawClient.open(site, behind=text("echo first"))
        assert await client.frame() == (1, b"echo first")
        await client.leave()


@on_both_loops
async def test_a_whole_conversation_in_one_packet_is_heard() -> None:
    async with serving() as site:
        client = await RawClient.connect(site)
        client.send(handshake() + text("hello") + close(3000))
        assert (await client.rest()).endswith(b"\x88\x02\x0b\xb8")
        owner = await site.owner()
        await owner.until(owner.is_closed)
        assert (owner.received, owner.closed) == (["hello"], [(3000, True)])
        await client.leave()


@TLS
@on_both_loops
async def test_much_sent_while_the_handler_waits_is_all_read_in_order(tls: bool) -> None:
    gate = asyncio.Event()
    requests: list[web.Request] = []

    async def before(request: web.Request) -> None:
        requests.append(request)
        await gate.wait()

    async with serving(tls=tls, before=before) as site:
        client = await RawClient.connect(site)
        client.send(handshake())
        for i in range(300):
            client.send(text(f"{i} " + "x" * 10_000))
        async with asyncio.timeout(30):
            # aiohttp has stopped reading: its buffer for what comes behind an upgrade is full.
            while not requests or requests[0].transport is None or requests[0].transport.is_reading():
                await asyncio.sleep(0.005)
        requests.clear()
        gate.set()
        owner = await site.owner()
        client.send(text("last"))
        await owner.until(lambda: "last" in owner.received)
        assert [str(message).split(" ")[0] for message in owner.received] == [*map(str, range(300)), "last"]
        await client.leave()


@on_both_loops
async def test_a_connection_that_served_other_requests_before_is_handed_over() -> None:
    async with serving() as site:
        client = await RawClient.connect(site)
        client.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"404" in await client.head()
        await client.reader.readexactly(len("404: Not Found"))
        client.send(handshake() + text("echo after"))
        assert b"101" in await client.head()
        assert await client.frame() == (1, b"echo after")
        await client.leave()


# What is left of aiohttp


def remains() -> list[object]:
    gc.collect()
    kinds = (RequestHandler, web.Request, web.StreamResponse, HttpRequestParser, StreamWriter)
    return [it for it in gc.get_objects() if isinstance(it, kinds)]


@TLS
@on_both_loops
async def test_nothing_of_aiohttp_is_left_per_connection(tls: bool) -> None:
    # An error that a test of ingest keeps as its parameter keeps the frames that it was raised through.
    before = remains()
    async with serving(tls=tls) as site:
        clients = [await RawClient.open(site) for _ in range(20)]
        owners = [await site.owner() for _ in clients]
        for client in clients:
            client.send(text("echo settled"))
            await client.frame()
        assert [it for it in remains() if not any(it is old for old in before)] == []
        assert site.runner.server is not None
        assert site.runner.server.connections == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not any(owner.closed for owner in owners)
        for client in clients:
            await client.leave()


@on_both_loops
async def test_stopping_the_server_neither_waits_for_a_connection_nor_ends_it() -> None:
    async with serving() as site:
        client = await RawClient.open(site)
        async with asyncio.timeout(0.9):  # aiohttp would wait one second for a connection of its own
            await site.runner.cleanup()
        client.send(text("echo still here"))
        assert await client.frame() == (1, b"echo still here")
        await client.leave()


@pytest.mark.parametrize("handler_cancellation", [False, True])
@on_both_loops
async def test_the_handler_may_go_on_and_is_not_the_servers_any_more(handler_cancellation: bool) -> None:
    gate, connections = asyncio.Event(), list[object]()

    async def after() -> None:
        await gate.wait()
        assert site.runner.server is not None
        connections.append(site.runner.server.connections)

    async with serving(after=after, handler_cancellation=handler_cancellation) as site:
        client = await RawClient.open(site, behind=text("echo meanwhile"))
        assert await client.frame() == (1, b"echo meanwhile")
        gate.set()
        async with asyncio.timeout(30):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.005)
        assert connections == [[]]
        client.send(text("echo afterwards"))
        assert await client.frame() == (1, b"echo afterwards")
        await client.leave()


# Peers who read slowly


async def fill(owner: Recorder) -> int:
    """Write until the transport says that it is too much; returns the number of messages."""
    count = 0
    while not owner.pauses:
        owner.socket.write(frame(b"%06d" % count + b"x" * 50_000))
        count += 1
        assert count < 1000
        await asyncio.sleep(0)
    return count


@TLS
@on_both_loops
async def test_a_slow_reader_pauses_and_resumes_its_owner(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client = await RawClient.open(site)
        owner = await site.owner()
        client.stop_reading()
        count = await fill(owner)
        assert owner.pauses == [True]
        assert owner.socket.buffered > 50_000
        client.read_on()
        assert [(await client.frame())[1][:6] for _ in range(count)] == [b"%06d" % i for i in range(count)]
        await owner.until(lambda: owner.pauses == [True, False])
        assert owner.socket.buffered == 0
        await client.leave()


@on_both_loops
async def test_who_pings_without_reading_does_not_fill_our_memory() -> None:
    async with serving() as site:
        client = await RawClient.open(site)
        owner = await site.owner()
        client.stop_reading()
        count = await fill(owner)
        full = owner.socket.buffered
        for i in range(1000):
            client.send(client_frame(PING, b"%0125d" % i))
        client.send(text("done"))
        await owner.until(lambda: "done" in owner.received)
        assert owner.socket.buffered <= full
        client.read_on()
        for _ in range(count):
            await client.frame()
        assert await client.frame() == (0xA, b"%0125d" % 999), "the latest ping is answered"
        await client.leave()


@TLS
@on_both_loops
async def test_an_owner_that_pauses_reading_slows_its_peer_down_and_loses_nothing(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client = await RawClient.open(site)
        owner = await site.owner()
        owner.on_text = lambda _: owner.socket.pause_reading()
        client.send(text("stop"))
        await owner.until(lambda: owner.received)
        owner.on_text = lambda _: None
        for i in range(400):
            client.send(text(f"{i}".ljust(50_000)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.writer.drain()
                assert tls, "asyncio's TLS passes 20 MB on to the transport below before it says so"
        assert owner.received == ["stop"]
        owner.socket.resume_reading()
        await owner.until(lambda: len(owner.received) == 401)
        assert [str(message).strip() for message in owner.received[1:]] == [str(i) for i in range(400)]
        await client.leave()


@on_both_loops
async def test_a_connection_that_is_paused_when_it_is_handed_over_says_so() -> None:
    size = 8 << 20

    def before(request: web.Request) -> None:
        assert request.transport is not None
        request.transport.write(bytes(size))

    async with serving(before=before) as site:
        client = await RawClient.connect(site)
        client.stop_reading()
        client.send(handshake())
        owner = await site.owner()
        assert owner.pauses == [True]
        client.read_on()
        await client.reader.readexactly(size)
        assert b" 101 " in await client.head()
        await owner.until(lambda: owner.pauses == [True, False])
        await client.leave()


@on_both_loops
async def test_the_peer_is_known_by_its_address(tmp_path: Path) -> None:
    async with serving() as site:
        client = await RawClient.open(site)
        assert (await site.owner()).socket.peer == "127.0.0.1"
        await client.leave()
    async with serving(unix=tmp_path / "s") as site:
        client = await RawClient.open(site)
        assert (await site.owner()).socket.peer == ""
        await client.leave()
