"""Socket.IO v5, packet by packet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random

import pytest
from websockets.exceptions import ConnectionClosed

from notify.gateway.socketio.server import SocketServer
from tests.gateway.edge import running
from tests.gateway.loops import on_both_loops
from tests.support.waiting import until


def protocol_server(**options):
    """The server that the protocol's own examples talk to."""
    server = SocketServer(**{"cors_allowed_origins": "*", **options})

    async def greet(sid, environ, auth):
        await server.emit("auth", auth or {}, to=sid)

    async def greet_custom(sid, environ, auth):
        await server.emit("auth", auth or {}, to=sid, namespace="/custom")

    async def back(sid, *args):
        await server.emit("message-back", args, to=sid)

    server.on("connect", greet)
    server.on("connect", greet_custom, namespace="/custom")
    server.on("message", back)
    server.on("message-with-ack", lambda sid, *args: args)
    return server


async def connected(edge, namespace=""):
    """A websocket that is in a namespace, greeted."""
    websocket = await edge.open_websocket()
    assert (await websocket.recv(decode=True)).startswith("0")
    await websocket.send("40" + namespace)
    assert (await websocket.recv(decode=True)).startswith("40" + namespace)
    assert "auth" in await websocket.recv()
    return websocket


async def assert_closed(websocket):
    with pytest.raises(ConnectionClosed):
        while True:
            await websocket.recv()


@on_both_loops
@pytest.mark.parametrize("always_connect", [False, True])
@pytest.mark.parametrize(
    ("packet", "head", "greeting"),
    [
        ("40", "40", '42["auth",{}]'),
        ('40{"token":"123"}', "40", '42["auth",{"token":"123"}]'),
        ("40/custom,", "40/custom,", '42/custom,["auth",{}]'),
        ('40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'),
    ],
)
async def test_connecting_is_answered_before_what_the_handler_emits(packet, head, greeting, always_connect):
    async with running(protocol_server(always_connect=always_connect)) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send(packet)
        answer = await websocket.recv()
        assert answer.startswith(head)
        assert set(json.loads(answer[len(head) :])) == {"sid"}
        assert await websocket.recv() == greeting
        await websocket.close()


async def test_an_unknown_namespace_is_refused_and_the_connection_stays():
    async with running(protocol_server()) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40/random")
        assert await websocket.recv() == '44/random,{"message":"Invalid namespace"}'
        await websocket.send("40")
        assert (await websocket.recv(decode=True)).startswith("40{")
        await websocket.close()


@on_both_loops
async def test_a_client_that_connects_to_nothing_is_closed():
    server = protocol_server(connect_timeout=0.2)
    async with running(server) as edge:
        websocket, poller = await edge.open_websocket(), await edge.open_polling()
        useful = await connected(edge)
        await assert_closed(websocket)
        await poller.get()
        assert await poller.gone()
        await until(lambda: len(server.eio.sockets) == 1)
        await useful.send('42["message",1]')
        assert await useful.recv() == '42["message-back",1]'
        await useful.close()


async def test_disconnecting_from_one_namespace_leaves_the_others():
    async with running(protocol_server()) as edge:
        websocket = await connected(edge)
        await websocket.send("40/custom")
        assert (await websocket.recv(decode=True)).startswith("40/custom,")
        await websocket.recv()
        await websocket.send("41/custom")
        await websocket.send('42["message","message to main namespace"]')
        assert await websocket.recv() == '42["message-back","message to main namespace"]'
        await websocket.send("40/custom")
        assert (await websocket.recv(decode=True)).startswith("40/custom,")
        await websocket.close()


async def test_after_disconnecting_the_connection_stays_open():
    async with running(protocol_server(ping_interval=0.2, ping_timeout=0.2)) as edge:
        websocket = await connected(edge)
        await websocket.send("41")
        assert await websocket.recv() == "2"
        await websocket.send("3")
        await websocket.send("40")
        assert (await websocket.recv(decode=True)).startswith("40{")
        await websocket.close()


@on_both_loops
async def test_events_and_acknowledgements_with_and_without_binary():
    async with running(protocol_server()) as edge:
        websocket = await connected(edge)
        await websocket.send('42["message",1,"2",{"3":[true]}]')
        assert await websocket.recv() == '42["message-back",1,"2",{"3":[true]}]'
        await websocket.send('42456["message-with-ack",1,"2",{"3":[false]}]')
        assert await websocket.recv() == '43456[1,"2",{"3":[false]}]'
        two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        for sent, answered in (
            (f'452-["message",{two}', f'452-["message-back",{two}'),
            (f'452-789["message-with-ack",{two}', f"462-789[{two}"),
        ):
            await websocket.send(sent)
            await websocket.send(b"\x01\x02\x03")
            await websocket.send(b"\x04\x05\x06")
            assert await websocket.recv() == answered
            assert await websocket.recv() == b"\x01\x02\x03"
            assert await websocket.recv() == b"\x04\x05\x06"
        await websocket.close()


async def test_binary_goes_to_pollers_and_websockets_at_the_same_time():
    server = protocol_server()
    async with running(server) as edge:
        websocket = await connected(edge)
        poller = await edge.open_polling()
        await poller.post("40")
        assert (await poller.poll()).startswith("40{")
        for _ in range(2):
            await server.emit("data", {"bytes": b"\xff\x00", "n": 1})
            placeholder = '451-["data",{"bytes":{"_placeholder":true,"num":0},"n":1}]'
            assert await poller.poll() == placeholder + "\x1eb/wA="
            assert await websocket.recv() == placeholder
            assert await websocket.recv() == b"\xff\x00"
        await poller.post('451-["message",{"_placeholder":true,"num":0}]\x1ebAQID')
        assert await poller.poll() == '451-["message-back",{"_placeholder":true,"num":0}]\x1ebAQID'
        await websocket.close()


@pytest.mark.parametrize(
    "packet", ['42["connect",{"REMOTE_ADDR":"me"},{}]', '42["disconnect","because"]', '42["connect_error"]']
)
async def test_an_event_with_a_reserved_name_calls_no_handler(packet):
    server = protocol_server()
    called = []
    server.on("disconnect", lambda sid, reason: called.append(reason))
    async with running(server) as edge:
        websocket = await connected(edge)
        await websocket.send(packet)
        await websocket.send('42["message"]')
        assert await websocket.recv() == '42["message-back"]'
        assert not called
        await websocket.close()


BAD = [
    "4abc",
    "4",
    "42{}",
    "42[]",
    '42abc["message-with-ack",1]',
    '44{"message":"x"}',
    "40[]",
    "40",  # once more
    '451-["x"]',  # and text where an attachment should be
    "abc",
    b"\x01\x02",  # an attachment of nothing
]


@pytest.mark.parametrize("packet", BAD)
async def test_a_bad_packet_closes_the_connection_at_once(packet):
    server = protocol_server()
    called = []
    server.on("disconnect", lambda sid, reason: called.append(reason))
    async with running(server) as edge:
        websocket = await connected(edge)
        await websocket.send(packet)
        if packet == '451-["x"]':
            await websocket.send('42["message"]')
        await assert_closed(websocket)
        await until(lambda: called)
        assert called == ["transport error"]
        assert server.stats.protocol_errors == 1


@pytest.mark.parametrize("packet", BAD[:-1])
async def test_a_bad_packet_in_a_post_closes_the_session_at_once(packet):
    server = protocol_server()
    async with running(server) as edge:
        poller = await edge.open_polling()
        await poller.post("40")
        await poller.poll()
        status, _ = await poller.post(packet + '\x1e42["message"]' if packet == '451-["x"]' else packet)
        assert status == 400
        assert await poller.gone()
        await until(lambda: not server.manager.books)


async def test_packets_before_connecting_close_the_connection():
    async with running(protocol_server()) as edge:
        for packet in ('42["message"]', "41", "431[]"):
            websocket = await edge.open_websocket()
            await websocket.recv()
            await websocket.send(packet)
            await assert_closed(websocket)


async def test_an_event_that_crossed_our_disconnect_changes_nothing():
    server = protocol_server()
    async with running(server) as edge:
        websocket = await connected(edge)
        await websocket.send("40/custom")
        sid = json.loads((await websocket.recv())[10:])["sid"]
        await websocket.recv()
        await server.disconnect(sid, namespace="/custom")
        await websocket.send('42/custom,["message"]')
        assert await websocket.recv() == "41/custom,"
        await websocket.send('42["message"]')
        assert await websocket.recv() == '42["message-back"]'
        await websocket.close()


@pytest.mark.parametrize("packet", ['42["message"]', "41", '451-["message",{"_placeholder":true,"num":0}]'])
async def test_what_crossed_the_disconnect_from_the_only_namespace_costs_no_connection(packet):
    server = protocol_server()
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        sid = json.loads((await websocket.recv())[2:])["sid"]
        await websocket.recv()
        await server.disconnect(sid)
        assert await websocket.recv() == "41"
        await websocket.send(packet)
        if packet.startswith("45"):
            await websocket.send(b"bytes")
        await websocket.send("40")
        assert (await websocket.recv(decode=True)).startswith('40{"sid":')
        await websocket.close()


async def test_too_many_namespaces_are_refused():
    async with running(protocol_server(namespaces="*", max_namespaces=3)) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        for number in range(3):
            await websocket.send(f"40/n{number}")
            assert (await websocket.recv(decode=True)).startswith(f"40/n{number},")
        await websocket.send("40/n3")
        refused = json.loads((await websocket.recv(decode=True)).removeprefix("44/n3,"))
        assert refused["data"] == {"code": "forbidden", "detail": "Too many namespaces", "retryable": False}
        assert refused["message"] == refused["data"]["detail"]
        await websocket.close()


async def test_a_message_past_the_limit_closes_the_websocket():
    server = protocol_server(max_http_buffer_size=1000)
    async with running(server) as edge:
        websocket = await connected(edge)
        await websocket.send('42["message","' + "x" * 900 + '"]')
        await websocket.recv()
        await websocket.send('42["message","' + "x" * 1000 + '"]')
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        await until(lambda: server.stats.closed == {"transport error": 1})


async def test_what_is_sent_while_connecting_waits_for_the_answer():
    server = SocketServer(always_connect=True)
    gate = asyncio.Event()
    order = []

    async def slow(sid, environ):
        await gate.wait()
        order.append("connect")

    server.on("connect", slow)
    server.on("x", lambda sid, number: order.append(number))
    server.on("disconnect", lambda sid, reason: order.append(reason))
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        assert (await websocket.recv(decode=True)).startswith("40{")
        for number in range(5):
            await websocket.send(f'42["x",{number}]')
        await websocket.send("41")
        await until(
            lambda: any(pending.packets[5:] for s in server.eio.sockets.values() for pending in s.connecting)
        )
        gate.set()
        await until(lambda: len(order) == 7)
        assert order == ["connect", 0, 1, 2, 3, 4, "client disconnect"]
        await websocket.close()


async def test_too_much_while_connecting_closes_the_connection():
    server = SocketServer(always_connect=True, max_pending=1000)
    gate = asyncio.Event()
    server.on("connect", lambda sid, environ: gate.wait())
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        with pytest.raises(ConnectionClosed):
            for _ in range(500):
                await websocket.send('42["x"]')
                await asyncio.sleep(0)
        await assert_closed(websocket)
        assert server.stats.protocol_errors == 1
        gate.set()


async def test_the_token_of_a_client_is_never_logged(caplog):
    caplog.set_level(0)
    server = protocol_server(
        logger=logging.getLogger("edge"), engineio_logger=logging.getLogger("edge.engine")
    )
    async with running(server) as edge:
        for packet in (
            '40{"token":"s3cret-token"}',
            '40["s3cret-token"]',
            '40/random,{"token":"s3cret-token"}',
        ):
            websocket = await edge.open_websocket()
            await websocket.recv()
            await websocket.send(packet)
            with contextlib.suppress(ConnectionClosed):
                await websocket.recv()
            await websocket.close()
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert ours
    assert not any("s3cret" in message for message in ours)


async def test_rubbish_harms_nobody(caplog):
    """R9 in small, with a fixed seed: whatever comes, a good client is served and nothing is left."""
    chance = random.Random(9)
    good = [
        '42["message",{"a":[1,2]}]',
        '452-["message",{"_placeholder":true,"num":0}]',
        "40/custom",
        "43",
        "2",
        "3",
    ]
    server = protocol_server(max_http_buffer_size=2000)

    def rubbish():
        kind = chance.randrange(4)
        if kind == 0:
            return chance.randbytes(chance.randrange(40))
        if kind == 1:
            return "".join(
                chr(chance.choice((chance.randrange(128), chance.randrange(0xD800)))) for _ in range(20)
            )
        text = list(chance.choice(good))
        for _ in range(chance.randrange(1, 4)):
            text[chance.randrange(len(text))] = chr(chance.randrange(32, 127))
        return "4" * (kind == 3) + "".join(text) + "x" * (chance.randrange(50) // 49 * 3000)

    async def over_websocket(edge):
        websocket = await edge.open_websocket()
        await websocket.send("40")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5):
                await websocket.send(rubbish())
        await websocket.close()

    async def over_polling(edge):
        poller = await edge.open_polling()
        await poller.post("40")
        for _ in range(3):
            packet = rubbish()
            status, _ = await poller.post(packet)
            assert status in (200, 400, 413)

    async with running(server) as edge:
        loyal = await connected(edge)
        for _ in range(15):
            await asyncio.gather(*(way(edge) for way in (over_websocket, over_polling) for _ in range(10)))
        await loyal.send('42["message","still here"]')
        assert await loyal.recv() == '42["message-back","still here"]'
        await loyal.close()
    assert not [record for record in caplog.records if record.exc_info]
