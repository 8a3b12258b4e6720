"""HTTP within bounds: heads that are slow or long, connections that are many, a port that closes."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from notify.ops.http_port import (
    AROUND_BODY,
    LINGER_BYTES,
    MAX_HEAD_BYTES,
    READ_AT_ONCE,
    HttpConnection,
    HttpPort,
    HttpStats,
)
from notify.ops.ports import open_port
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def refuse(status: int) -> web.Response:
    return web.Response(status=status, text="refused", headers={"X-Refused": "yes"})


class Site:
    """A port under test, whose one handler answers when it is let."""

    def __init__(self, port: HttpPort, stats: HttpStats) -> None:
        self.port = port
        self.stats = stats
        self.number = free_port()
        self.let = asyncio.Event()
        self.let.set()
        self.asked = 0
        self.stack = AsyncExitStack()
        self.peers: list[Peer] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.let.wait()
        body = await request.read()
        return web.Response(text=f"got {len(body)}")

    async def connect(self) -> Peer:
        self.peers.append(Peer(*await asyncio.open_connection("127.0.0.1", self.number)))
        return self.peers[-1]


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:-2])}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body

    async def ended(self) -> bytes:
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    stats = HttpStats()
    here = Site(HttpPort("test", answer_malformed=refuse, stats=stats, **options), stats)
    application = web.Application()
    application.router.add_route("*", "/", here.handle)
    async with here.stack:
        await open_port(
            here.stack, application, here.port, host="127.0.0.1", number=here.number, shutdown_s=5
        )
        yield here
        for peer in here.peers:
            peer.writer.transport.abort()


@pytest.mark.parametrize(
    "begin", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 8000], ids=len
)
async def test_a_head_that_is_not_whole_in_time_ends_the_connection(begin: bytes) -> None:
    async with site(head_timeout_s=0.2) as here:
        peer = await here.connect()
        peer.send(begin)
        await peer.ended()
        assert here.stats.ended["test", "slow_head"] == 1


async def test_a_head_that_trickles_in_has_no_more_time() -> None:
    async with site(head_timeout_s=0.3) as here:
        peer = await here.connect()
        peer.send(GET)
        await peer.answer()

        async def trickle() -> None:
            peer.send(b"GET / HTTP/1.1\r\n")
            while True:
                await asyncio.sleep(0.05)
                peer.send(b"X: y\r\n")

        trickling = asyncio.create_task(trickle())
        await peer.ended()
        trickling.cancel()
        assert here.stats.ended["test", "slow_head"] == 1


async def test_a_head_in_pieces_is_answered_and_the_deadline_is_over_with_it() -> None:
    async with site(head_timeout_s=0.3) as here:
        peer = await here.connect()
        here.let.clear()
        for piece in (GET[:5], GET[5:20], GET[20:]):
            peer.send(piece)
            await asyncio.sleep(0.02)
        await until(lambda: here.asked)
        later = await here.connect()
        later.send(GET[:5])
        await later.ended()  # longer than a head may take: it is an answer that we wait for now
        here.let.set()
        assert (await peer.answer())[0] == 200
        assert here.stats.ended == {("test", "slow_head"): 1}


@pytest.mark.parametrize("piece", [200, 64 * 1024, 1 << 20])
async def test_a_head_beyond_the_bound_is_refused(piece: int) -> None:
    async with site() as here:
        peer = await here.connect()
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        line = b"X-Header: " + b"y" * 1700 + b"\r\n"
        head = line * (2 * MAX_HEAD_BYTES // len(line)) + b"\r\n"
        for begin in range(0, len(head), piece):
            peer.send(head[begin : begin + piece])
            await asyncio.sleep(0)
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"], headers["x-refused"]) == (431, "close", "yes")
        await peer.ended()
        assert here.asked == 0
        assert here.stats.ended["test", "large_head"] == 1


async def test_a_body_is_no_head() -> None:
    async with site(head_timeout_s=0.2) as here:
        peer = await here.connect()
        size = 4 * MAX_HEAD_BYTES
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(8):
            await asyncio.sleep(0.05)
            peer.send(b"x" * (size // 8))
        assert (await peer.answer())[2] == b"got %d" % size
        peer.send(GET)
        assert (await peer.answer())[2] == b"got 0"
        assert not here.stats.ended


async def test_an_idle_connection_is_closed() -> None:
    async with site(keep_alive_s=0.2) as here:
        peer = await here.connect()
        peer.send(GET)
        assert (await peer.answer())[0] == 200
        assert await peer.ended() == b""
        assert not here.port.connections
        assert here.stats.connections["test"] == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nCookie: hunter2\r\nBad Name: x\r\n\r\n",
        b"hunter2\r\n\r\n",
        b"GET /?key=hunter2 HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: hunter2\r\nHost: x\x00\r\n\r\n",
        b"\x16\x03\x01hunter2",
    ],
)
async def test_what_is_no_request_is_refused_and_not_quoted(data: bytes, capsys, caplog) -> None:
    async with site() as here:
        peer = await here.connect()
        peer.send(data)
        status, headers, body = await peer.answer()
        assert (status, headers["x-refused"], body) == (400, "yes", b"refused")
        await peer.ended()
        assert here.stats.ended["test", "malformed"] == 1
    assert "hunter2" not in caplog.text + "".join(capsys.readouterr())


async def test_a_full_port_lets_go_of_those_who_ask_nothing() -> None:
    async with site(max_connections=lambda: 10) as here:
        pooled = await here.connect()
        pooled.send(GET)
        await pooled.answer()
        silent = [await here.connect() for _ in range(9)]
        await until(lambda: len(here.port.connections) == 10)
        late = await here.connect()
        late.send(GET)
        assert (await late.answer())[0] == 200
        await asyncio.gather(*(peer.ended() for peer in silent))
        assert here.stats.ended["test", "evicted"] == 10  # the pooled one, too: fewer than one round of them
        assert len(here.port.connections) == 1


async def test_a_port_full_of_work_refuses() -> None:
    async with site(max_connections=lambda: 2) as here:
        here.let.clear()
        busy = [await here.connect() for _ in range(2)]
        for peer in busy:
            peer.send(GET)
        await until(lambda: here.asked == 2)
        late = await here.connect()
        assert await late.ended() == b""
        assert here.stats.ended["test", "refused"] == 1
        here.let.set()
        for peer in busy:
            assert (await peer.answer())[0] == 200


async def test_a_closing_port_says_so_and_answers_all_that_it_has_read() -> None:
    async with site() as here:
        idle, busy, sending, asking = [await here.connect() for _ in range(4)]
        for peer in (idle, asking):
            peer.send(GET)
            assert "connection" not in (await peer.answer())[1]
        here.let.clear()
        busy.send(GET)
        sending.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        await until(lambda: here.asked == 4)
        here.port.close_soon()
        ending = asyncio.create_task(here.stack.aclose())
        asking.send(GET)  # in the moment that is left to it
        await until(lambda: here.asked == 5)
        here.let.set()
        assert await idle.ended() == b""
        sending.send(b"67890")
        for peer, body in ((busy, b"got 0"), (asking, b"got 0"), (sending, b"got 10")):
            status, headers, found = await peer.answer()
            assert (status, headers["connection"], found) == (200, "close", body)
            assert await peer.ended() == b""
        await ending
        assert not here.port.connections


async def test_what_does_not_end_by_itself_is_ended_when_nobody_connects_any_more() -> None:
    here = Site(HttpPort("test", answer_malformed=refuse, stats=HttpStats()), HttpStats())
    here.let.clear()

    async def end() -> None:
        with pytest.raises(ConnectionRefusedError):
            await here.connect()
        here.let.set()

    application = web.Application()
    application.router.add_route("*", "/", here.handle)
    async with here.stack:
        await open_port(
            here.stack,
            application,
            here.port,
            host="127.0.0.1",
            number=here.number,
            shutdown_s=40,
            ending=end,
        )
        peer = await here.connect()
        peer.send(GET)
        await until(lambda: here.asked)
        async with asyncio.timeout(30):
            await here.stack.aclose()
        assert (await peer.answer())[0] == 200
        peer.writer.close()


async def test_the_address_of_all_is_that_of_both_families() -> None:
    stack, port = AsyncExitStack(), HttpPort("test", answer_malformed=refuse, stats=HttpStats())
    number = free_port()
    async with stack:
        try:
            await open_port(stack, web.Application(), port, host="::", number=number, shutdown_s=1)
        except OSError as error:
            pytest.skip(f"there is no IPv6 here: {error}")
        for host in ("127.0.0.1", "::1"):
            peer = Peer(*await asyncio.open_connection(host, number))
            peer.send(GET)
            assert (await peer.answer())[0] == 404
            peer.writer.close()


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "after its head"])
async def test_what_could_not_be_read_is_not_kept(whole: bool) -> None:
    """An error holds its frames, and they what was read and the error: only a collection would find them."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with site() as here:

        async def ask() -> None:
            peer = await here.connect()
            peer.send(head)
            if not whole:
                asked = here.asked
                await until(lambda: here.asked > asked)
            peer.send(b"z" * 100_000)
            await peer.ended()
            here.peers.clear()
            peer.writer.close()
            with suppress(ConnectionError):
                await peer.writer.wait_closed()

        await ask()
        assert here.stats.ended["test", "malformed"] == 1
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(30):
                await ask()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
        assert kept < 500_000


class Slow:
    """A shortcut that answers when the test does."""

    first_line = b"POST /plain HTTP/1.1\r\n"

    def __init__(self) -> None:
        self.answers: list[Any] = []

    def take(self, data: bytes, answer: Any) -> bool:
        if data != PLAIN:
            return False
        self.answers.append(answer)
        return True

    def lacks(self, data: bytes) -> int:
        return max(0, len(PLAIN) - len(data)) if data.startswith(PLAIN[:-5]) else 0

    def answer(self) -> None:
        self.answers.pop(0)(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n", b"ok")


PLAIN = Slow.first_line + b"Host: x\r\nContent-Length: 5\r\n\r\nhello"


async def test_what_comes_before_a_shortcut_has_answered_waits_its_turn() -> None:
    async with site(head_timeout_s=0.2, keep_alive_s=0.2) as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        peer.send(PLAIN)
        await until(lambda: slow.answers)
        (connection,) = here.port.connections
        assert not connection.idle
        peer.send(GET)
        peer.send(PLAIN)
        await asyncio.sleep(0.5)  # longer than a head may take, or an idle connection may stay
        assert (here.asked, len(slow.answers)) == (0, 1)
        slow.answer()
        assert (await peer.answer())[2] == b"ok"
        assert (await peer.answer())[2] == b"got 0"


async def test_a_connection_is_idle_again_after_a_shortcut_has_answered() -> None:
    async with site(keep_alive_s=0.2) as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        for _ in range(3):
            peer.send(PLAIN)
            await until(lambda: slow.answers)
            slow.answer()
            assert (await peer.answer())[0] == 202
        async with asyncio.timeout(30):
            assert await peer.ended() == b""
        assert not here.port.connections


async def test_a_closing_port_waits_for_what_a_shortcut_has_taken() -> None:
    async with site() as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        peer.send(PLAIN)
        await until(lambda: slow.answers)
        closing = asyncio.create_task(here.stack.aclose())
        await until(lambda: here.port.closing)
        slow.answer()
        status, headers, body = await peer.answer()
        assert (status, headers["connection"], body) == (202, "close", b"ok")
        assert await peer.ended() == b""
        await closing


async def test_a_caller_who_has_gone_gets_no_answer() -> None:
    async with site() as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        peer.send(PLAIN)
        await until(lambda: slow.answers)
        peer.writer.transport.abort()
        await until(lambda: not here.port.connections)
        slow.answer()


async def kept(here: Site) -> None:
    """Wait until the port keeps a request that is not whole."""
    await until(lambda: any(not c.idle and not c.awaits_head for c in here.port.connections))


async def test_a_shortcut_gets_a_body_that_comes_in_pieces() -> None:
    async with site(keep_alive_s=0.1) as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        for _ in range(2):
            peer.send(PLAIN[:-5])
            await kept(here)
            peer.send(PLAIN[-5:-2])
            await asyncio.sleep(0.2)  # longer than an idle connection may stay
            peer.send(PLAIN[-2:])
            await until(lambda: slow.answers)
            slow.answer()
            assert (await peer.answer())[2] == b"ok"
        assert here.asked == 0


async def test_a_body_that_does_not_come_soon_is_read_as_any_other() -> None:
    async with site(body_moment_s=0.05, head_timeout_s=0.2) as here:
        here.port.shortcut = slow = Slow()
        application_path = b"POST / HTTP/1.1\r\n"
        slow.first_line = application_path
        begin = PLAIN[:-5].replace(Slow.first_line, application_path)
        slow.lacks = lambda data: 5 if data == begin else 0  # type: ignore[method-assign]
        peer = await here.connect()
        peer.send(begin)
        await until(lambda: here.asked)
        await asyncio.sleep(0.4)  # longer than a head may take
        peer.send(b"hello")
        assert (await peer.answer())[2] == b"got 5"
        assert not slow.answers


async def test_what_follows_a_body_in_the_same_read_is_not_lost() -> None:
    async with site() as here:
        here.port.shortcut = Slow()
        peer = await here.connect()
        peer.send(PLAIN[:-5])
        await kept(here)
        peer.send(PLAIN[-5:] + GET)
        assert (await peer.answer())[0] == 404  # both are aiohttp's now, which has no such path
        assert (await peer.answer())[2] == b"got 0"


async def test_a_body_that_looks_like_a_request_is_a_body() -> None:
    async with site() as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(PLAIN))
        await until(lambda: here.asked)
        peer.send(PLAIN)
        assert (await peer.answer())[2] == b"got %d" % len(PLAIN)
        assert not slow.answers


async def test_a_port_that_closes_waits_for_the_rest_of_a_request() -> None:
    async with site() as here:
        here.port.shortcut = slow = Slow()
        peer = await here.connect()
        peer.send(PLAIN[:-5])
        await kept(here)
        closing = asyncio.create_task(here.stack.aclose())
        await until(lambda: here.port.closing)
        peer.send(PLAIN[-5:])
        await until(lambda: slow.answers)
        slow.answer()
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"]) == (202, "close")
        await closing


async def test_the_beginning_of_a_request_goes_with_its_caller() -> None:
    async with site(body_moment_s=0.05) as here:
        here.port.shortcut = Slow()
        peer = await here.connect()
        peer.send(PLAIN[:-5])
        await kept(here)
        peer.writer.transport.abort()
        await until(lambda: not here.port.connections)
        await asyncio.sleep(0.1)  # longer than it would be kept
        assert here.asked == 0


CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = b"1\r\nx\r\n"


async def push(peer: Peer, data: bytes, most: int) -> int:
    """Send the same again and again until the other side has closed; how many bytes it took."""
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        while sent < most and not peer.writer.is_closing():
            peer.send(data)
            async with asyncio.timeout(1):
                await peer.writer.drain()
            sent += len(data)
    return sent


@pytest.mark.parametrize("path", [b"/", b"/nowhere"])
async def test_a_body_that_is_mostly_chunk_lines_is_read_no_further(path: bytes) -> None:
    async with site() as here:
        peer = await here.connect()
        peer.send(CHUNKED % path)
        read = 0
        parse = HttpConnection._read_piece

        def counted(connection: HttpConnection, data: bytes) -> None:
            nonlocal read
            read += len(data)
            parse(connection, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HttpConnection, "_read_piece", counted)
            await push(peer, TINY * 10_000, 64 * 1024 * 1024)
        assert read <= 2 * (AROUND_BODY + READ_AT_ONCE)
        assert (await peer.ended()).partition(b"\r\n")[0] in (
            b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 404 Not Found", b"",
        )  # fmt: skip


async def test_a_body_that_nobody_wants_is_read_for_a_while_only() -> None:
    async with site() as here:
        peer = await here.connect()
        peer.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
        assert (await peer.answer())[0] == 404
        sent = await push(peer, b"x" * 65_536, 256 * 1024 * 1024)
        assert sent < 64 * LINGER_BYTES  # most of it fills the buffers of the kernel


@pytest.mark.parametrize("size", [8, 1000, 100_000])
async def test_a_body_in_chunks_of_a_usual_size_is_read_to_its_end(size: int) -> None:
    async with site() as here:
        peer = await here.connect()
        count = 600_000 // size
        chunk = b"%x\r\n%s\r\n" % (size, b"x" * size)
        peer.send(CHUNKED % b"/" + chunk * count + b"0\r\n\r\n" + GET)
        assert (await peer.answer())[2] == b"got %d" % (count * size)
        assert (await peer.answer())[2] == b"got 0"


async def test_refused_bodies_that_end_leave_the_connection_usable() -> None:
    async with site() as here:
        peer = await here.connect()
        for _ in range(4):  # together they are more than one may be
            peer.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n")
            assert (await peer.answer())[0] == 404
            peer.send(b"x" * 500_000 + GET)
            assert (await peer.answer())[2] == b"got 0"
