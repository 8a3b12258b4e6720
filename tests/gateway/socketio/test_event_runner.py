"""A client that sends far more than any client does takes neither the others' turns nor the node."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from notify.gateway.socketio.event_runner import MAX_RUNNING_BYTES
from notify.gateway.socketio.server import SocketServer
from notify.protocol.websocket import FRAMES_A_FEED
from tests.gateway.client_frames import CONTINUATION, PING, PONG, TEXT, client_frame, text
from tests.gateway.edge import echoing_engine, running
from tests.gateway.loops import on_both_loops
from tests.gateway.raw_client import RawClient
from tests.gateway.sites import Recorder, serving
from tests.support.waiting import until


class Turns:
    """Looks at how much a recorder has received, in every turn of the loop."""

    def __init__(self, owner: Recorder) -> None:
        self._owner = owner
        self._seen = 0
        self.most = 0
        self._handle = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        received = len(self._owner.received)
        self.most = max(self.most, received - self._seen)
        self._seen = received
        self._handle = asyncio.get_running_loop().call_soon(self._look)

    def stop(self) -> None:
        self._handle.cancel()


@on_both_loops
async def test_one_connection_gets_a_bounded_number_of_frames_a_turn_and_loses_none() -> None:
    async with serving() as site:
        client = await RawClient.open(site)
        owner = await site.owner()
        turns = Turns(owner)
        client.send(b"".join(text(str(number)) for number in range(20_000)))
        await owner.until(lambda: len(owner.received) == 20_000)
        turns.stop()
        assert owner.received == [str(number) for number in range(20_000)]
        # A read, and what was left of the one before it.
        assert turns.most <= 2 * FRAMES_A_FEED
        await client.leave()


@on_both_loops
async def test_large_messages_take_turns_as_well() -> None:
    async with serving() as site:
        client = await RawClient.open(site)
        owner = await site.owner()
        turns = Turns(owner)
        client.send(text("x" * 50_000) * 200)
        await owner.until(lambda: len(owner.received) == 200)
        turns.stop()
        assert turns.most <= 12, "ten megabytes are not read in one turn"
        await client.leave()


@on_both_loops
async def test_an_owner_that_pauses_amid_a_burst_gets_the_rest_when_it_reads_on() -> None:
    async with serving() as site:
        client = await RawClient.open(site)
        owner = await site.owner()

        def pause(word: str) -> None:
            if word == "10":
                owner.socket.pause_reading()

        owner.on_text = pause
        client.send(b"".join(text(str(number)) for number in range(5_000)))
        await owner.until(lambda: len(owner.received) >= 11)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(owner.received) <= FRAMES_A_FEED
        owner.socket.resume_reading()
        await owner.until(lambda: len(owner.received) == 5_000)
        assert owner.received == [str(number) for number in range(5_000)]
        await client.leave()


@pytest.mark.parametrize(
    ("first", "flood"),
    [
        (b"", client_frame(PING)),
        (b"", client_frame(PONG)),
        (b"", text("6")),
        (b"", text("431[]")),
        (client_frame(TEXT, b"", final=False), client_frame(CONTINUATION, b"", final=False)),
    ],
    ids=["pings", "pongs", "noops", "acks", "continuations"],
)
async def test_a_flood_is_closed_and_counted(first: bytes, flood: bytes) -> None:
    server = SocketServer(max_frames_per_second=100)
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.send("40")
        await websocket.recv()
        websocket.transport.write(first + flood * (100 * 25 + 10))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        await until(lambda: not server.eio.sockets)
        assert server.stats.floods == 1


async def test_a_flood_by_long_polling_is_closed_and_counted() -> None:
    engine = echoing_engine(max_frames_per_second=100)
    async with running(engine) as edge:
        poller = await edge.open_polling()
        assert (await poller.post("\x1e".join("6" * 2000)))[0] == 200
        assert (await poller.post("\x1e".join("6" * 2000)))[0] == 400
        assert await poller.gone()
        assert engine.stats.floods == 1


async def test_a_busy_client_is_counted_anew_after_each_ping() -> None:
    engine = echoing_engine(max_frames_per_second=20, ping_interval=0.1, ping_timeout=2)
    async with running(engine) as edge:
        websocket = await edge.open_websocket()
        assert str(await websocket.recv()).startswith("0{")
        sent = 0
        for _ in range(5):  # 100 a count, of which there is one a ping
            for _ in range(60):
                await websocket.send("6")
                sent += 1
            while await websocket.recv() != "2":
                pass
            await websocket.send("3")
        assert sent > 20 * 5
        await websocket.send("4still here")
        while await websocket.recv() != "4still here":
            pass
        await websocket.close()
        await until(lambda: not engine.sockets)


async def test_acks_that_nobody_waits_for_are_dropped_at_once() -> None:
    server = SocketServer(async_handlers=True)
    server.on("slow", lambda sid: asyncio.sleep(3600))
    acknowledged = []

    async def trigger(sid: str, number: int, data: object) -> None:
        acknowledged.append(number)

    server.manager.trigger_callback = trigger
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        await websocket.recv()
        for _ in range(300):
            await websocket.send("431[]")
        await websocket.send('42["x"]')
        await until(lambda: server.stats.messages_in == 1)
        assert not acknowledged
        assert not len(server.eio.handlers_in_flight)
        await websocket.close()
        await until(lambda: not server.eio.sockets)


# Before a client is let in


async def slowly_connecting(sid: str, environ: object, auth: object) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize(
    "packets",
    [
        ["40", *['42["x","' + "y" * 1000 + '"]'] * 20],
        ["40", "40/a,", *['42["x","' + "y" * 1000 + '"]', '42/a,["x","' + "y" * 1000 + '"]'] * 9],
        ['40{"token":"' + "t" * 17_000 + '"}'],
        ["40" + namespace + '{"token":"' + "t" * 6_000 + '"}' for namespace in ("", "/a,", "/b,")],
        ["40", '451-["x",{"_placeholder":true,"num":0}]'],
        ['451-["x",{"_placeholder":true,"num":0}]'],
    ],
    ids=["packets", "to two namespaces", "a large CONNECT", "several CONNECTs", "binary", "binary at once"],
)
async def test_whoever_may_be_anyone_is_kept_little_of(packets: list[str]) -> None:
    server = SocketServer(namespaces="*")
    server.on("connect", slowly_connecting)
    server.on("connect", slowly_connecting, namespace="/a")
    server.on("connect", slowly_connecting, namespace="/b")
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        with pytest.raises(ConnectionClosed):
            for packet in packets:
                await websocket.send(packet)
            await websocket.recv()
        assert server.stats.protocol_errors == 1
        for task in tuple(server.eio.handlers_in_flight._tasks):
            task.cancel()


async def test_a_little_may_be_sent_before_being_let_in() -> None:
    let_in = asyncio.Event()
    server = SocketServer()
    heard: list[str] = []

    @server.on("connect")
    async def connect(sid: str, environ: object) -> None:
        await let_in.wait()

    server.on("x", lambda sid, word: heard.append(word))
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        words = [str(number) * 500 for number in range(10)]
        for word in words:
            await websocket.send(f'42["x","{word}"]')
        (socket,) = server.eio.sockets.values()
        await until(lambda: socket.connecting and len(socket.connecting[0].packets) == 10)
        let_in.set()
        await until(lambda: heard == words)
        await websocket.close()


async def test_a_client_with_much_at_work_is_not_read_from() -> None:
    server = SocketServer()
    started = []
    go_on = asyncio.Event()

    @server.on("slow")
    async def slow(sid: str, data: str) -> None:
        started.append(len(data))
        await go_on.wait()

    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        await websocket.recv()
        for _ in range(40):
            await websocket.send('42["slow","' + "x" * 60_000 + '"]')
        (socket,) = server.eio.sockets.values()
        await until(lambda: socket.backlog is not None)
        for _ in range(50):
            await asyncio.sleep(0)
        assert sum(started) <= MAX_RUNNING_BYTES + 60_000
        go_on.set()
        await until(lambda: len(started) == 40)
        await websocket.close()


async def test_a_post_whose_body_does_not_end_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notify.gateway.engineio.transports.http_polling.BODY_S", 0.1)
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        reader, writer = await asyncio.open_connection(*edge.address)
        head = f"POST /engine.io/?{poller.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4hel"
        writer.write(head.encode())
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert await poller.gone()
        assert not engine.sockets
        writer.close()
