"""Engine.IO v4: from long-polling to websocket, by hand and with a real client under traffic."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConnectionClosed

from notify.gateway.socketio.server import SocketServer
from tests.gateway.edge import echoing_engine, polling, running
from tests.gateway.loops import LOOPS, on_both_loops
from tests.support.clients.javascript import JavaScript
from tests.support.waiting import until


def upgrading(poller):
    return poller.query.replace("transport=polling", "transport=websocket")


@on_both_loops
async def test_an_upgrade_ends_the_waiting_poll_with_a_noop():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        poll = asyncio.create_task(poller.poll())
        await until(lambda: polling(engine, poller).waits)
        websocket = await edge.open_websocket(upgrading(poller))
        await websocket.send("2probe")
        assert await websocket.recv() == "3probe"
        assert await poll == "6"
        assert await poller.poll() == "6"  # and so ends one that comes late
        await websocket.send("5")
        await websocket.send("4hello")
        assert await websocket.recv() == "4hello"
        assert engine.stats.upgrades == 1
        assert (engine.stats.polling_connections, engine.stats.websocket_connections) == (0, 1)
        assert engine.transport(poller.opened["sid"]) == "websocket"
        await websocket.close()


async def test_after_an_upgrade_requests_for_the_session_are_refused_and_change_nothing():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        websocket = await edge.open_websocket(upgrading(poller))
        await websocket.send("2probe")
        assert await websocket.recv() == "3probe"
        await websocket.send("5")
        await until(lambda: engine.stats.upgrades)
        assert (await poller.get())[0] == 400
        assert (await poller.post("4x"))[0] == 400
        second = await edge.open_websocket(upgrading(poller))
        with pytest.raises(ConnectionClosed):
            await second.recv()
        await websocket.send("4hello")
        assert await websocket.recv() == "4hello"
        await websocket.close()


async def test_a_second_websocket_does_not_disturb_the_first_one_s_upgrade():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        first = await edge.open_websocket(upgrading(poller))
        second = await edge.open_websocket(upgrading(poller))
        with pytest.raises(ConnectionClosed):
            await second.recv()
        await first.send("2probe")
        assert await first.recv() == "3probe"
        await first.close()


@pytest.mark.parametrize(
    "packets", [["4hello"], ["5"], ["2"], [b"\x01"], ["2probe", "2probe"], ["2probe", "4x"]]
)
async def test_a_wrong_upgrade_is_given_up_and_long_polling_goes_on(packets):
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        websocket = await edge.open_websocket(upgrading(poller))
        for packet in packets:
            await websocket.send(packet)
        with pytest.raises(ConnectionClosed):
            while True:
                await websocket.recv()
        await poller.post("4still here")
        assert await poller.poll() == "4still here"
        assert engine.sockets[poller.opened["sid"]].probe is None


@pytest.mark.parametrize("begin", [[], ["2probe"]])
async def test_an_upgrade_that_is_not_completed_in_time_is_given_up(begin):
    engine = echoing_engine(upgrade_timeout=0.1)
    async with running(engine) as edge:
        poller = await edge.open_polling()
        websocket = await edge.open_websocket(upgrading(poller))
        for packet in begin:
            await websocket.send(packet)
        with pytest.raises(ConnectionClosed):
            while True:
                await websocket.recv()
        await poller.post("4still here")
        assert await poller.poll() == "4still here"


async def test_polls_during_an_upgrade_bring_packets_but_do_not_spin():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        websocket = await edge.open_websocket(upgrading(poller))
        await websocket.send("2probe")
        assert await websocket.recv() == "3probe"
        loop = asyncio.get_running_loop()
        assert await poller.poll() == "6"
        begun = loop.time()
        assert await poller.poll() == "6"
        assert loop.time() - begun >= 0.09
        await engine.send(poller.opened["sid"], "between")
        assert await poller.poll() == "4between"
        await engine.send(poller.opened["sid"], "behind")
        await websocket.send("5")
        assert await websocket.recv() == "4behind"
        await websocket.close()


async def test_a_client_that_has_stopped_polling_hears_of_the_end_on_its_websocket():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        websocket = await edge.open_websocket(upgrading(poller))
        await websocket.send("2probe")
        assert await websocket.recv() == "3probe"
        socket = engine.sockets[poller.opened["sid"]]
        await engine.send(poller.opened["sid"], "last")
        socket.close_transport()
        assert socket.closed
        await websocket.send("5")
        assert await websocket.recv() == "4last"
        with pytest.raises(ConnectionClosed):
            await websocket.recv()


async def test_the_session_may_end_in_the_middle_of_an_upgrade():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        websocket = await edge.open_websocket(upgrading(poller))
        await websocket.send("2probe")
        assert await websocket.recv() == "3probe"
        await engine.disconnect(poller.opened["sid"])
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert await poller.get() == (200, "1")


COUNT = 3000


@pytest.mark.parametrize("loop_name", LOOPS)
@pytest.mark.parametrize("oldest", [False, True])
def test_nothing_is_lost_doubled_or_reordered_by_upgrades_under_traffic(loop_name, oldest):
    """Several stock clients upgrade while thousands of numbered messages go both ways."""

    async def check() -> None:
        server = SocketServer(cors_allowed_origins="*")
        arrived: dict[str, list[int]] = {}
        floods: list[asyncio.Task[None]] = []

        async def flood(sid: str) -> None:
            for number in range(COUNT):
                await server.emit("down", number, to=sid)
                if number % 20 == 19:
                    await asyncio.sleep(0)

        @server.on("connect")
        def connected(sid, environ):
            arrived[sid] = []

        @server.on("begin")
        def begin(sid):
            floods.append(asyncio.create_task(flood(sid)))

        @server.on("up")
        def up(sid, number):
            arrived[sid].append(number)

        async with running(server) as edge, JavaScript() as javascript:
            clients = [await javascript.connect(edge.origin, oldest=oldest) for _ in range(4)]
            for client in clients:
                await client.emit("begin")
                await client.flood("up", COUNT, batch=5)
            for client in clients:
                await client.wait_event("down", COUNT, timeout_s=30)
                await client.wait("flooded")
                assert client.said("upgrade"), "the traffic was over before the upgrade"
                assert [args[0] for event, args in client.events if event == "down"] == list(range(COUNT))
            await until(lambda: all(len(numbers) >= COUNT for numbers in arrived.values()))
            assert list(arrived.values()) == [list(range(COUNT))] * len(clients)
            assert server.stats.upgrades == len(clients)
            await asyncio.gather(*floods)

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(check())
