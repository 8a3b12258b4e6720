"""Peers that do not take what is sent to them: bounded in bytes, cut off, and nobody else's business."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import cast

import pytest

from notify.gateway.socketio.server import SocketServer
from tests.gateway.client_frames import handshake, text
from tests.gateway.edge import running
from tests.gateway.loops import on_both_loops
from tests.support.clients.javascript import JavaScript
from tests.support.waiting import until

LIMIT = 1 << 18
PIECE = "x" * 8192


async def deaf_websocket(edge):
    """A connected websocket that reads nothing more."""
    reader, writer = await asyncio.open_connection(*edge.address, limit=4096)
    writer.write(handshake("/socket.io/?EIO=4&transport=websocket"))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(text("40"))
    await reader.readuntil(b'40{"sid"')
    cast(asyncio.Transport, writer.transport).pause_reading()  # uvloop's is none by its class
    return writer


@on_both_loops
async def test_a_websocket_that_does_not_read_is_cut_off_at_the_limit():
    server = SocketServer(send_buffer_limit=LIMIT)
    reasons = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with running(server) as edge:
        writer = await deaf_websocket(edge)
        await until(lambda: server.stats.connects)
        socket = next(iter(server.eio.sockets.values()))
        most = 0
        while not socket.closed:
            await server.emit("data", PIECE)
            most = max(most, socket.buffered)
            await asyncio.sleep(0)
        assert LIMIT // 2 < most <= LIMIT + 2 * len(PIECE)
        assert server.stats.slow_consumers == 1
        await until(lambda: reasons == ["transport error"])
        assert not server.eio.sockets
        socket = weakref.ref(socket)
        await until(lambda: gc.collect() is not None and socket() is None)
        writer.close()


@on_both_loops
async def test_a_poller_that_does_not_poll_is_cut_off_at_the_limit():
    server = SocketServer(send_buffer_limit=LIMIT)
    async with running(server) as edge:
        poller = await edge.open_polling()
        await poller.post("40")
        socket = next(iter(server.eio.sockets.values()))
        sent = 0
        while not socket.closed:
            await server.emit("data", PIECE)
            sent += 1
            assert socket.buffered <= LIMIT
            await asyncio.sleep(0)
        assert sent == LIMIT // len(PIECE)
        assert server.stats.slow_consumers == 1
        assert await poller.gone()


@on_both_loops
async def test_a_burst_past_the_limit_is_no_fault_of_one_who_reads():
    """Several limits' worth in one turn of the loop, and one message that is larger than the limit alone."""
    server = SocketServer(send_buffer_limit=LIMIT)
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.send("40")
        await websocket.recv()
        await websocket.recv()
        for _ in range(LIMIT // len(PIECE) + 2):
            await server.emit("data", PIECE)  # gives no turn away
        for _ in range(LIMIT // len(PIECE) + 2):
            assert PIECE in await websocket.recv()
        await server.emit("large", "y" * (4 * LIMIT))
        await server.emit("behind", PIECE)
        assert len(await websocket.recv()) > 4 * LIMIT
        assert PIECE in await websocket.recv()
        assert server.stats.slow_consumers == 0
        await websocket.close()


async def test_a_burst_past_the_limit_reaches_a_poll_that_waits():
    server = SocketServer(send_buffer_limit=LIMIT)
    async with running(server) as edge:
        poller = await edge.open_polling()
        await poller.post("40")
        await poller.poll()
        poll = asyncio.create_task(poller.poll())
        socket = next(iter(server.eio.sockets.values()))
        await until(lambda: socket.polling.waits)
        for _ in range(LIMIT // len(PIECE) + 2):
            await server.emit("data", PIECE)
        received = (await poll).count(PIECE)
        received += (await poller.poll()).count(PIECE)
        assert received == LIMIT // len(PIECE) + 2
        assert server.stats.slow_consumers == 0


@on_both_loops
async def test_cutting_off_some_of_a_room_in_the_middle_of_a_broadcast_reaches_the_rest():
    server = SocketServer(send_buffer_limit=LIMIT)
    async with running(server) as edge:
        pollers = [await edge.open_polling() for _ in range(12)]
        for poller in pollers:
            await poller.post("40")
        await until(lambda: server.stats.connects == 12)
        for poller in pollers[::2]:
            await poller.poll()
        good = [server.eio.sockets[poller.opened["sid"]] for poller in pollers[::2]]
        polls = [asyncio.create_task(poller.poll()) for poller in pollers[::2]]
        await until(lambda: all(socket.polling.waits for socket in good))
        await server.emit("data", "z" * LIMIT)  # on top of the CONNECT that the others have not fetched
        for body in await asyncio.gather(*polls):
            assert len(body) > LIMIT
        assert server.stats.slow_consumers == 6
        assert {socket.sid for socket in good} == set(server.eio.sockets)


async def test_a_ping_overtakes_what_is_queued():
    server = SocketServer(ping_interval=0.2, ping_timeout=5)
    async with running(server) as edge:
        poller = await edge.open_polling()
        await poller.post("40")
        await poller.poll()
        await server.emit("data", PIECE)
        await until(lambda: next(iter(server.eio.sockets.values())).awaiting_pong)
        assert (await poller.poll()).startswith("2\x1e42")


@pytest.mark.parametrize("oldest", [False, True])
async def test_stock_clients_that_stop_reading_are_cut_and_come_back(oldest):
    """R6 in small: the deaf are cut, the others hear all of it, in order, and in time."""
    server = SocketServer(send_buffer_limit=LIMIT)
    late = []
    async with running(server) as edge, JavaScript() as javascript:
        deaf, *good = [
            await javascript.connect(
                edge.origin, transports=["websocket"], reconnectionDelay=20, quiet=number == 0, oldest=oldest
            )
            for number in range(4)
        ]
        for client in (deaf, *good):
            await client.wait("connect")
        await deaf.mute()
        loop = asyncio.get_running_loop()
        number = 0
        while not server.stats.slow_consumers:
            begun = loop.time()
            await server.emit("tick", (number, PIECE))
            number += 1
            await good[0].wait_event("tick", number)
            late.append(loop.time() - begun)
        for client in good:
            await client.wait_event("tick", number)
            assert [args[0] for _, args in client.events] == list(range(number))
            assert not client.said("disconnect")
        assert server.stats.slow_consumers == 1
        assert sorted(late)[len(late) // 2] < 0.1
        before = len(deaf.log)
        await deaf.unmute()
        assert (await deaf.wait("disconnect", after=before))["reason"] == "transport close"
        await deaf.wait("connect", after=before)
