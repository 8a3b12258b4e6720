"""The door: a plain websocket handshake is answered there, everything else reaches aiohttp untouched."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import connect

from notify.gateway.engineio.bounds.silent_connections import SilentConnections
from notify.gateway.engineio.fast_handshake import MOST_HELD, FastHandshake
from notify.gateway.socketio.connect_handlers import ConnectHandlers
from notify.gateway.socketio.server import SocketServer
from notify.protocol.handshake import read_plain
from tests.support.waiting import until

PREFIX = b"GET /socket.io/?"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
PLAIN = [
    b"Host: example.test",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Version: 13",
]


def request(
    *headers: bytes, query: bytes = b"EIO=4&transport=websocket", version: bytes = b"1.1", tail: bytes = b""
):
    head = [PREFIX + query + b" HTTP/" + version, *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + tail


def test_a_plain_handshake_is_read():
    found = read_plain(request(*PLAIN, b"Origin: https://a.example", tail=b"\x81\x80"), len(PREFIX))
    assert found is not None
    query, origin, host, accept, tail = found
    assert (query, origin, host) == ("EIO=4&transport=websocket", "https://a.example", "example.test")
    assert accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
    assert tail == b"\x81\x80"


def test_spaces_case_and_lists_are_read_as_http_has_them():
    odd = [
        b"HOST:example.test",
        b"upgrade: \t WebSocket  ",
        b"connection: keep-alive, Upgrade",
        b"sec-websocket-key:" + KEY,
        b"SEC-WEBSOCKET-VERSION: 13",
        b'X-Anything: \xc3\xa4 1, 2; q="3"',
        b"X-Empty:",
    ]
    assert read_plain(request(*odd), len(PREFIX)) is not None


@pytest.mark.parametrize(
    "data",
    [
        request(*PLAIN)[:-2],
        request(*PLAIN, version=b"1.0"),
        request(*PLAIN[1:]),
        request(*PLAIN, PLAIN[0]),
        request(*PLAIN, b"Connection: close"),
        request(*PLAIN, b"Content-Length: 0"),
        request(*PLAIN, b"Transfer-Encoding: chunked"),
        request(*PLAIN, b"Expect: 100-continue"),
        request(*PLAIN, b"Sec-WebSocket-Protocol: x"),
        request(*PLAIN, b" folded: x"),
        request(*PLAIN, b"bad name: x"),
        request(*PLAIN, b"no colon"),
        request(*PLAIN, b"X-Control: a\x00b"),
        request(*PLAIN, b"X-Feed: a\nb"),
        request(*PLAIN[:1], b"Upgrade: h2c", *PLAIN[2:]),
        request(*PLAIN[:2], b"Connection: keep-alive", *PLAIN[3:]),
        request(*PLAIN[:3], b"Sec-WebSocket-Key: short", PLAIN[4]),
        request(*PLAIN[:3], b"Sec-WebSocket-Key: " + b"*" * 24, PLAIN[4]),
        request(*PLAIN[:4], b"Sec-WebSocket-Version: 8"),
        request(*PLAIN, b"X-Long: " + b"x" * 9000),
        request(*PLAIN, query=b"transport=websocket&x=\xff"),
    ],
)
def test_what_is_not_plain_is_left_to_aiohttp(data: bytes):
    assert read_plain(data, len(PREFIX)) is None


class Door:
    """A server behind a front, and how often the front kept a connection for itself."""

    def __init__(self, server: SocketServer, port: int, silent: SilentConnections[FastHandshake]) -> None:
        self.server = server
        self.port = port
        self.silent = silent
        self.evicted = 0
        self.others = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/socket.io/"


class LetIn(ConnectHandlers):
    """Stands for the app's admission: lets everyone in, and looks at no request."""

    needs_environ = False


@pytest.fixture
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    options = dict(getattr(request, "param", {}))
    most_silent = options.pop("silent", 1000)
    server = SocketServer(keep_environ=False, namespaces="*", **options)
    server.admission = LetIn(server)
    application = web.Application()
    server.attach(application)

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    application.router.add_get("/hello", hello)
    runner = web.AppRunner(application)
    await runner.setup()
    made: Door

    def other() -> asyncio.Protocol:
        made.others += 1
        assert runner.server is not None
        return runner.server()

    def evicted() -> None:
        made.evicted += 1

    silent: SilentConnections[FastHandshake] = SilentConnections(most=lambda: most_silent, evicted=evicted)
    listener = await asyncio.get_running_loop().create_server(
        lambda: FastHandshake(server.eio, other, path="/socket.io/", silent=silent),
        "127.0.0.1",
        0,
    )
    made = Door(server, listener.sockets[0].getsockname()[1], silent)
    yield made
    listener.close()
    await runner.cleanup()
    await until(lambda: not silent)


async def test_a_websocket_is_kept_and_works(door: Door):
    address = door.url.replace("http", "ws") + "?EIO=4&transport=websocket"
    async with connect(address, compression=None) as websocket:
        opened = json.loads((await websocket.recv())[1:])
        await websocket.send("40")
        assert (await websocket.recv(decode=True)).startswith('40{"sid"')
        assert opened["upgrades"] == []
        assert door.server.stats.websocket_connections == 1
    assert door.others == 0


async def test_frames_in_the_packet_of_the_handshake_are_not_lost(door: Door):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    frame = b"\x81\x82\x00\x00\x00\x00" + b"40"
    writer.write(request(*PLAIN, tail=frame))
    received = b""
    async with asyncio.timeout(30):
        while b'40{"sid"' not in received:
            received += await reader.read(4096)
    accept = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    assert accept in received
    assert door.others == 0
    writer.close()


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "odd"])
@pytest.mark.parametrize("size", [1, 40])
async def test_a_handshake_in_pieces_works(door: Door, plain: bool, size: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    data = request(*PLAIN, *(() if plain else (b"Sec-WebSocket-Protocol: odd",)))
    for begin in range(0, len(data), size):
        writer.write(data[begin : begin + size])
        await writer.drain()
        await asyncio.sleep(0)
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    assert door.others == (0 if plain else 1)
    writer.close()


async def test_everything_else_is_aiohttps(door: Door):
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{door.port}/hello") as response:
            assert await response.text() == "hello"
        async with session.get(door.url + "?EIO=4&transport=polling") as response:
            assert (await response.text()).startswith('0{"sid"')
        async with session.get(door.url + "?EIO=4&transport=nonsense") as response:
            assert response.status == 400
    assert door.others >= 1


@pytest.mark.parametrize("door", [{"cors_allowed_origins": ["https://good.example"]}], indirect=True)
async def test_origins_are_judged_at_the_door_too(door: Door):
    async with aiohttp.ClientSession() as session:
        address = door.url + "?EIO=4&transport=websocket"
        async with session.ws_connect(address, headers={"Origin": "https://good.example"}) as websocket:
            assert (await websocket.receive_str()).startswith("0{")
        assert door.others == 0
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(address, headers={"Origin": "https://evil.example"})
        assert refused.value.status == 400
        assert door.others == 1


@pytest.mark.parametrize(
    "door", [{"max_connections": 2}, {"handshake_rate": 0.001, "handshake_burst": 2}], indirect=True
)
async def test_limits_hold_at_the_door_too(door: Door):
    async with aiohttp.ClientSession() as session:
        address = door.url + "?EIO=4&transport=websocket"
        kept = []
        for _ in range(2):
            kept.append(await session.ws_connect(address))
            await kept[-1].send_str("40")
            await until(lambda: door.server.stats.connects == len(kept))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(address)
        assert refused.value.status == 503
        assert refused.value.headers is not None
        assert "Retry-After" in refused.value.headers
        for websocket in kept:
            await websocket.close()


async def test_nobody_is_taken_while_draining(door: Door):
    door.server.eio.limits.draining = True
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(door.url + "?EIO=4&transport=websocket")
        assert refused.value.status == 503


async def test_a_connection_that_says_nothing_is_not_kept(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("notify.gateway.engineio.fast_handshake.HEAD_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    await ended(reader)
    writer.close()
    assert len(door.server.eio.deadlines) == 0


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came before the server ended the connection, by a reset or not."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /socket.io/?EIO=4", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
async def test_a_head_that_does_not_end_is_not_waited_for(
    door: Door, begun: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("notify.gateway.engineio.fast_handshake.HEAD_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(begun)
    dripping = asyncio.create_task(drip(writer))
    await ended(reader)
    dripping.cancel()
    writer.close()
    assert door.others == 0


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, as if there were more to come."""
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def test_a_head_without_end_is_not_kept_here(door: Door):
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (MOST_HELD + 100))
    await until(lambda: door.others == 1)
    assert not door.silent
    writer.close()


@pytest.mark.parametrize("door", [{"silent": 5}], indirect=True)
async def test_the_oldest_silent_connection_makes_room(door: Door):
    silent = []
    for number in range(8):
        silent.append(await asyncio.open_connection("127.0.0.1", door.port))
        silent[-1][1].write(b"GET /so")

        def held(count: int = min(5, number + 1)) -> bool:
            return len(door.silent) == count

        await until(held)
    assert [await ended(reader) for reader, _ in silent[:3]] == [b""] * 3
    assert door.evicted == 3
    async with connect(door.url.replace("http", "ws") + "?EIO=4&transport=websocket", compression=None):
        assert door.evicted == 4
    for _, writer in silent[:4]:
        writer.close()
    for _, writer in silent[4:]:
        writer.write(b"cket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n")
    for reader, writer in silent[4:]:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
