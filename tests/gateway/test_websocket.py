"""Connections handed over from aiohttp: real sockets, two client libraries, both event loops."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
import websockets
from aiohttp import web
from aiohttp.http import HttpRequestParser, StreamWriter
from aiohttp.web_protocol import RequestHandler
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notify.domain.packet import frame
from tests.gateway.client_frames import BINARY, PING, client_frame, close, fragments, handshake, text
from tests.gateway.loops import on_both_loops
from tests.gateway.raw_client import RawClient
from tests.gateway.sites import Recorder, Site, serving


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext]]:
    """The server's and the client's, for a certificate made for the occasion."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    yield server, ssl.create_default_context(cafile=str(pem))


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
    await owner.until(lambda: owner.closed)
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
async def test_a_websockets_client_converses_over_tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = contexts
    async with serving(context=server) as site, websockets.connect("wss" + site.url, ssl=trusting) as client:
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
        await owner.until(lambda: owner.closed)
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
async def test_frames_in_one_packet_with_the_request_are_read_over_tls(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(context=contexts[0]) as site:
        client = await RawClient.open(site, contexts[1], behind=text("echo first"))
        assert await client.frame() == (1, b"echo first")
        await client.leave()


@on_both_loops
async def test_a_whole_conversation_in_one_packet_is_heard() -> None:
    async with serving() as site:
        client = await RawClient.connect(site)
        client.send(handshake() + text("hello") + close(3000))
        assert (await client.rest()).endswith(b"\x88\x02\x0b\xb8")
        owner = await site.owner()
        await owner.until(lambda: owner.closed)
        assert (owner.received, owner.closed) == (["hello"], [(3000, True)])
        await client.leave()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_both_loops
async def test_much_sent_while_the_handler_waits_is_all_read_in_order(
    tls: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    gate = asyncio.Event()
    requests: list[web.Request] = []

    async def before(request: web.Request) -> None:
        requests.append(request)
        await gate.wait()

    async with serving(context=contexts[0] if tls else None, before=before) as site:
        client = await RawClient.connect(site, contexts[1] if tls else None)
        client.send(handshake())
        for i in range(300):
            client.send(text(f"{i} " + "x" * 10_000))
        async with asyncio.timeout(10):
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


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_both_loops
async def test_nothing_of_aiohttp_is_left_per_connection(
    tls: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async with serving(context=contexts[0] if tls else None) as site:
        clients = [await RawClient.open(site, contexts[1] if tls else None) for _ in range(20)]
        owners = [await site.owner() for _ in clients]
        for client in clients:
            client.send(text("echo settled"))
            await client.frame()
        assert len(remains()) == 0
        assert site.runner.server is not None
        assert site.runner.server.connections == []
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not any(owner.closed for owner in owners)
        for client in clients:
            await client.leave()


@pytest.mark.parametrize("handler_cancellation", [False, True])
@on_both_loops
async def test_stopping_the_server_neither_waits_for_a_connection_nor_ends_it(
    handler_cancellation: bool,
) -> None:
    async with serving(handler_cancellation=handler_cancellation) as site:
        client = await RawClient.open(site)
        async with asyncio.timeout(0.9):  # aiohttp would wait one second for a connection of its own
            await site.runner.cleanup()
        client.send(text("echo still here"))
        assert await client.frame() == (1, b"echo still here")
        await client.leave()


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


# Handshakes that are refused


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
        async with asyncio.timeout(10):
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


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_both_loops
async def test_a_slow_reader_pauses_and_resumes_its_owner(
    tls: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async with serving(context=contexts[0] if tls else None) as site:
        client = await RawClient.open(site, contexts[1] if tls else None)
        owner = await site.owner()
        client.stop_reading()
        count = await fill(owner)
        assert owner.pauses == [True]
        assert owner.socket.buffered > 50_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
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
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(count):
            await client.frame()
        assert await client.frame() == (0xA, b"%0125d" % 999), "the latest ping is answered"
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
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
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
