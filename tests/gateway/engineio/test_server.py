"""Engine.IO v4: how a connection begins, or why it does not."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from notify.gateway.engineio.server import Engine
from tests.gateway.edge import echoing_engine, running
from tests.gateway.loops import on_both_loops
from tests.support.waiting import until

FAST = {"ping_interval": 0.3, "ping_timeout": 0.2}


@on_both_loops
async def test_long_polling_opens_with_the_servers_parameters():
    async with running(echoing_engine(**FAST)) as edge:
        poller = await edge.open_polling()
        assert poller.opened == {
            "sid": poller.opened["sid"],
            "upgrades": ["websocket"],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1_000_000,
        }


@on_both_loops
async def test_a_websocket_opens_with_nothing_to_upgrade_to():
    async with running(echoing_engine(**FAST)) as edge:
        websocket = await edge.open_websocket()
        packet = await websocket.recv()
        assert packet[0] == "0"
        opened = json.loads(packet[1:])
        assert (opened["upgrades"], opened["pingInterval"], opened["pingTimeout"]) == ([], 300, 200)
        await websocket.close()


async def test_a_grace_period_is_announced_with_the_interval():
    async with running(Engine(ping_interval=(1.5, 0.25))) as edge:
        assert (await edge.open_polling()).opened["pingInterval"] == 1750


@pytest.mark.parametrize(
    ("method", "query", "expected"),
    [
        ("GET", "EIO=4", (400, 0)),
        ("GET", "EIO=4&transport=abc", (400, 0)),
        ("GET", "transport=polling", (400, 5)),
        ("GET", "EIO=3&transport=polling", (400, 5)),
        ("GET", "EIO=abc&transport=polling", (400, 5)),
        ("POST", "EIO=4&transport=polling", (400, 2)),
        ("PUT", "EIO=4&transport=polling", (400, 2)),
        ("DELETE", "EIO=4&transport=polling", (400, 2)),
        ("GET", "EIO=4&transport=websocket", (400, 3)),
        ("GET", "EIO=4&transport=polling&sid=unknown", (400, 1)),
        ("POST", "EIO=4&transport=polling&sid=unknown", (400, 1)),
        ("GET", "EIO=4&transport=websocket&sid=unknown", (400, 1)),
    ],
)
async def test_a_wrong_request_gets_400_and_a_code(method, query, expected):
    async with running(echoing_engine()) as edge:
        assert await edge.refusal(method, query) == expected


@pytest.mark.parametrize(
    "query", ["transport=websocket", "EIO=4", "EIO=4&transport=abc", "EIO=abc&transport=websocket"]
)
async def test_a_wrong_websocket_request_is_not_accepted(query):
    async with running(echoing_engine()) as edge:
        with pytest.raises(InvalidStatus) as refused:
            await edge.open_websocket(query)
        assert refused.value.response.status_code == 400


async def test_a_known_session_takes_get_and_post_only():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        for method in ("PUT", "DELETE", "PATCH"):
            assert await edge.refusal(method, poller.query) == (400, 3)


async def test_a_transport_that_is_not_offered_is_unknown():
    async with running(echoing_engine(transports=["websocket"])) as edge:
        assert await edge.refusal("GET", "EIO=4&transport=polling") == (400, 0)
        websocket = await edge.open_websocket()
        await websocket.close()
    async with running(echoing_engine(transports="polling")) as edge:
        assert (await edge.open_polling()).opened["upgrades"] == []


async def test_upgrades_can_be_forbidden():
    async with running(echoing_engine(allow_upgrades=False)) as edge:
        poller = await edge.open_polling()
        assert poller.opened["upgrades"] == []
        with pytest.raises(InvalidStatus):
            await edge.open_websocket(poller.query.replace("polling", "websocket"))


# -- origins -----------------------------------------------------------------------------------------


async def test_only_the_same_origin_may_connect_by_default():
    async with running(Engine()) as edge:
        query = "EIO=4&transport=polling"
        assert (await edge.request("GET", query))[0] == 200
        assert (await edge.request("GET", query, headers={"Origin": edge.origin}))[0] == 200
        assert await edge.refusal("GET", query, headers={"Origin": "http://evil.example"}) == (400, 4)
        with pytest.raises(InvalidStatus):
            await edge.open_websocket(origin="http://evil.example")


async def test_forwarded_headers_of_a_stranger_make_no_origin_the_same():
    spoofed = {
        "Origin": "https://evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    async with running(Engine()) as edge:
        assert await edge.refusal("GET", "EIO=4&transport=polling", headers=spoofed) == (400, 4)
    async with running(Engine(trusted_proxies=["127.0.0.0/8"])) as edge:
        assert (await edge.request("GET", "EIO=4&transport=polling", headers=spoofed))[0] == 200


@pytest.mark.parametrize(
    "allowed",
    [
        "http://good.example",
        ["http://good.example", "http://other.example"],
        lambda origin: origin == "http://good.example",
        lambda origin, environ: origin == environ["HTTP_ORIGIN"] == "http://good.example",
    ],
)
async def test_origins_are_allowed_by_name_by_list_or_by_function(allowed):
    async with running(Engine(cors_allowed_origins=allowed)) as edge:
        query = "EIO=4&transport=polling"
        status, headers = await edge.headers("GET", query, headers={"Origin": "http://good.example"})
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] == "http://good.example"
        assert headers["Access-Control-Allow-Credentials"] == "true"
        assert await edge.refusal("GET", query, headers={"Origin": "http://bad.example"}) == (400, 4)


async def test_a_preflight_is_answered():
    async with running(Engine(cors_allowed_origins="*")) as edge:
        status, headers = await edge.headers(
            "OPTIONS",
            "EIO=4&transport=polling",
            headers={"Origin": "http://page.example", "Access-Control-Request-Headers": "X-Own"},
        )
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] == "http://page.example"
        assert headers["Access-Control-Allow-Methods"] == "OPTIONS, GET, POST"
        assert headers["Access-Control-Allow-Headers"] == "X-Own"


async def test_origins_can_be_left_alone():
    async with running(Engine(cors_allowed_origins=[])) as edge:
        status, headers = await edge.headers(
            "GET", "EIO=4&transport=polling", headers={"Origin": "http://any.example"}
        )
        assert status == 200
        assert not any(name.startswith("Access-Control") for name in headers)


async def test_a_cookie_is_set_when_asked_for():
    async with running(Engine(cookie="io")) as edge:
        _, headers = await edge.headers("GET", "EIO=4&transport=polling")
        assert headers["Set-Cookie"].startswith("io=")
        assert headers["Set-Cookie"].endswith("; path=/; SameSite=Lax")


# -- limits --------------------------------------------------------------------------------------------


async def test_a_full_node_refuses_handshakes_and_says_when_to_come_back():
    engine = Engine(max_connections=2)
    async with running(engine) as edge:
        websocket = await edge.open_websocket()
        poller = await edge.open_polling()
        async with edge.session.get(f"{edge.url}?EIO=4&transport=polling") as response:
            assert response.status == 503
            assert response.headers["Retry-After"]
            assert (await response.json())["message"] == "This node has all the connections it takes"
        with pytest.raises(InvalidStatus):
            await edge.open_websocket()
        assert engine.stats.handshakes_refused == {"connections": 2}
        await poller.post("1")
        await (await edge.open_websocket()).close()
        await websocket.close()


async def test_handshakes_are_refused_past_their_rate_and_taken_again_later():
    engine = Engine(handshake_rate=20, handshake_burst=3)
    async with running(engine) as edge:
        statuses = [(await edge.request("GET", "EIO=4&transport=polling"))[0] for _ in range(6)]
        assert statuses[:3] == [200, 200, 200]
        assert 503 in statuses
        assert engine.stats.handshakes_refused["rate"] == statuses.count(503)
        while (await edge.request("GET", "EIO=4&transport=polling"))[0] != 200:
            pass


async def test_a_draining_node_takes_nobody_new_but_keeps_whom_it_has():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        engine.limits.draining = True
        assert (await edge.request("GET", "EIO=4&transport=polling"))[0] == 503
        await poller.post("4still here")
        assert await poller.poll() == "4still here"


# -- options and the connect handler ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"async_mode": "asgi"}, ValueError),
        ({"async_mode": "tornado"}, ValueError),
        ({"monitor_clients": False}, ValueError),
        ({"ping_interval": 0}, ValueError),
        ({"trusted_proxies": ["not a network"]}, ValueError),
        ({"transports": ["carrier pigeon"]}, ValueError),
        ({"max_connections": 0}, ValueError),
        ({"handshake_rate": 0}, ValueError),
        ({"ping_intervall": 5}, TypeError),
    ],
)
def test_options_that_cannot_be_had_are_refused(option, error):
    with pytest.raises(error):
        Engine(**option)


@on_both_loops
async def test_the_connect_handler_may_refuse_on_either_transport():
    engine = Engine(cors_allowed_origins="*")
    engine.on("connect", lambda sid, environ: "not you" if "no=1" in environ["QUERY_STRING"] else None)
    async with running(engine) as edge:
        assert await edge.request("GET", "EIO=4&transport=polling&no=1") == (401, '"not you"')
        with pytest.raises(InvalidStatus) as refused:
            await edge.open_websocket("EIO=4&transport=websocket&no=1")
        assert refused.value.response.status_code == 401
        await (await edge.open_websocket()).close()


async def test_a_message_from_the_connect_handler_comes_right_after_the_open_packet():
    engine = Engine()

    async def greet(sid, environ):
        await engine.send(sid, "hello")

    engine.on("connect", greet)
    async with running(engine) as edge:
        _, body = await edge.request("GET", "EIO=4&transport=polling")
        assert body.split("\x1e")[1:] == ["4hello"]
        websocket = await edge.open_websocket()
        assert (await websocket.recv(decode=True)).startswith("0")
        assert await websocket.recv() == "4hello"
        await websocket.close()


async def test_the_client_behind_trusted_proxies_is_known_by_its_own_address():
    seen = []
    engine = Engine(trusted_proxies=["127.0.0.1", "10.0.0.0/8"])
    engine.on(
        "connect", lambda sid, environ: seen.append((environ["REMOTE_ADDR"], engine.sockets[sid].address))
    )
    chains = {
        "203.0.113.9": "203.0.113.9",
        "198.51.100.1, 203.0.113.9, 10.1.2.3": "203.0.113.9",
        "spoofed, 203.0.113.9": "203.0.113.9",
        "10.9.9.9, 10.1.2.3": "10.9.9.9",
        "nonsense": "127.0.0.1",
        "": "127.0.0.1",
    }
    async with running(engine) as edge, aiohttp.ClientSession() as session:
        for forwarded in chains:
            headers = {"X-Forwarded-For": forwarded} if forwarded else {}
            async with session.get(f"{edge.url}?EIO=4&transport=polling", headers=headers):
                pass
    assert seen == [(expected, expected) for expected in chains.values()]


async def test_without_trusted_proxies_the_peer_is_the_client_whatever_it_says():
    seen = []
    engine = Engine()
    engine.on("connect", lambda sid, environ: seen.append(environ["REMOTE_ADDR"]))
    async with running(engine) as edge:
        await edge.request("GET", "EIO=4&transport=polling", headers={"X-Forwarded-For": "203.0.113.9"})
    assert seen == ["127.0.0.1"]


@on_both_loops
async def test_shutting_down_waits_for_what_was_sent_to_arrive():
    """A process that ends with input unread resets its connections, and what they hold is lost."""
    engine = echoing_engine()
    async with running(engine) as edge:
        websocket = await edge.open_websocket()
        (socket,) = engine.sockets.values()
        websocket.transport.pause_reading()
        await engine.send(socket.sid, "x" * 500_000)
        await asyncio.sleep(0)
        socket.close_transport()
        stopping = asyncio.create_task(engine.shutdown())
        await until(lambda: not engine.sockets)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not stopping.done()
        websocket.transport.resume_reading()
        assert str(await websocket.recv(decode=True)).startswith("0{")
        assert await websocket.recv() == "4" + "x" * 500_000
        await stopping
        assert not engine._closing
