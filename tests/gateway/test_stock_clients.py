"""The stock JavaScript clients, newest and oldest, on both transports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from notify.gateway.socketio.server import SocketServer
from tests.gateway.edge import running
from tests.gateway.loops import LOOPS
from tests.support.clients.javascript import JavaScript
from tests.support.waiting import until

QUICK: dict[str, Any] = {"reconnectionDelay": 20, "reconnectionDelayMax": 50}
CLIENTS = pytest.mark.parametrize("oldest", [False, True], ids=["newest", "oldest"])
TRANSPORTS = pytest.mark.parametrize(
    "transports",
    [["polling"], ["websocket"], ["polling", "websocket"]],
    ids=["polling", "websocket", "upgrade"],
)


async def established(javascript, edge, transports, oldest, **options):
    """A client that is connected, on the transport it is to stay on."""
    client = await javascript.connect(edge.origin, transports=transports, oldest=oldest, **QUICK, **options)
    await client.wait("connect")
    if len(transports) > 1:
        await client.wait("upgrade")
    return client


def engine_socket(server, client):
    sid = client.said("connect")[-1]["sid"]
    return server.eio.sockets[server.manager.eio_sid_from_sid(sid, "/")]


@CLIENTS
@TRANSPORTS
@pytest.mark.parametrize("loop_name", LOOPS)
def test_everything_a_client_does(transports, oldest, loop_name):
    async def check() -> None:
        server = SocketServer(cors_allowed_origins="*", namespaces="*")
        server.on("echo", lambda sid, *args: args)
        server.on("echo", lambda namespace, sid, *args: args, namespace="*")
        async with running(server) as edge, JavaScript() as javascript:
            client = await established(javascript, edge, transports, oldest, auth={"a": "ü"})
            binary = {"$binary": "AAECAw=="}
            assert await client.call("echo", 1, "zwei", {"drei": [None, True]}, binary) == [
                1,
                "zwei",
                {"drei": [None, True]},
                binary,
            ]
            sid = client.said("connect")[0]["sid"]
            await server.emit("news", ({"n": 1}, b"\x00\xff"), to=sid)
            assert await client.wait_event("news") == [{"n": 1}, {"$binary": "AP8="}]
            assert await server.call("question", 42, to=sid, timeout=5) == 42
            large = "x" * 500_000
            assert await client.call("echo", large) == [large]
            await client.disconnect()
            await client.wait("disconnect", reason="io client disconnect")
            await until(lambda: not server.eio.sockets)
            await client.reconnect()
            await client.wait("connect", after=len(client.log) - 1)

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(check())


@CLIENTS
@TRANSPORTS
async def test_a_client_that_cannot_send_binary_sends_base64(transports, oldest):
    server = SocketServer(cors_allowed_origins="*")
    server.on("echo", lambda sid, *args: args)
    async with running(server) as edge, JavaScript() as javascript:
        client = await established(javascript, edge, transports, oldest, forceBase64=True)
        binary = {"$binary": "AAECAw=="}
        assert await client.call("echo", binary, {"deep": [binary]}) == [binary, {"deep": [binary]}]
        assert len(client.said("connect")) == 1
        await client.disconnect()
        await until(lambda: not server.eio.sockets)


@CLIENTS
@TRANSPORTS
async def test_after_its_transport_is_ended_a_client_comes_back_by_itself(transports, oldest):
    server = SocketServer(cors_allowed_origins="*")
    async with running(server) as edge, JavaScript() as javascript:
        client = await established(javascript, edge, transports, oldest)
        for _ in range(3):
            before = len(client.log)
            socket = engine_socket(server, client)
            await server.emit("last words")
            socket.close_transport()
            lost = await client.wait("disconnect", after=before)
            assert lost["reason"] == ("transport error" if transports == ["polling"] else "transport close")
            assert lost["active"] in (True, None)  # 4.0.0 does not say
            assert [event for event, _ in client.events][-1] == "last words"
            await client.wait("connect", after=before)
            if len(transports) > 1:
                await client.wait("upgrade", after=before)


@CLIENTS
@TRANSPORTS
async def test_after_a_disconnect_of_ours_a_client_stays_away(transports, oldest):
    server = SocketServer(cors_allowed_origins="*")
    async with running(server) as edge, JavaScript() as javascript:
        client = await established(javascript, edge, transports, oldest)
        await server.disconnect(client.said("connect")[0]["sid"])
        await client.wait("disconnect", reason="io server disconnect")
        await until(lambda: not server.eio.sockets)  # it has closed the connection itself
        assert len(client.said("connect")) == 1
        await client.reconnect()
        await client.wait("connect", after=len(client.log) - 1)


@CLIENTS
async def test_a_cut_connection_is_noticed_at_once(oldest):
    server = SocketServer(cors_allowed_origins="*")
    reasons = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with running(server) as edge, JavaScript() as javascript:
        client = await established(javascript, edge, ["websocket"], oldest)
        await client.cut()
        await client.wait("disconnect", reason="transport close")
        await until(lambda: reasons == ["transport close"])
        await client.wait("connect", after=2)


@CLIENTS
async def test_pings_keep_a_client_that_says_nothing(oldest):
    server = SocketServer(cors_allowed_origins="*", ping_interval=0.1, ping_timeout=0.3)
    async with running(server) as edge, JavaScript() as javascript:
        clients = [await established(javascript, edge, [name], oldest) for name in ("polling", "websocket")]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await until(lambda: loop.time() - begun > 1.0)
        for client in clients:
            assert not client.said("disconnect")


@CLIENTS
async def test_refusals_reach_the_client(oldest):
    server = SocketServer(cors_allowed_origins="*")
    server.on("connect", lambda sid, environ, auth: auth == {"token": "good"})
    async with running(server) as edge, JavaScript() as javascript:
        client = await javascript.connect(edge.origin, oldest=oldest, auth={"token": "bad"})
        assert (await client.wait("connect_error"))["message"] == "Connection rejected by server"
        client = await javascript.connect(edge.origin + "/nowhere", oldest=oldest, auth={"token": "good"})
        assert (await client.wait("connect_error"))["message"] == "Invalid namespace"
        client = await javascript.connect(edge.origin, oldest=oldest, auth={"token": "good"})
        await client.wait("connect")


@CLIENTS
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_full_node_is_tried_again(transport, oldest):
    server = SocketServer(cors_allowed_origins="*", max_connections=1)
    async with running(server) as edge, JavaScript() as javascript:
        first = await established(javascript, edge, ["websocket"], False)
        second = await javascript.connect(edge.origin, transports=[transport], oldest=oldest, **QUICK)
        await second.wait("connect_error")
        await first.disconnect()
        await second.wait("connect")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_server_that_shuts_down_is_left_at_once(transport):
    server = SocketServer(cors_allowed_origins="*")
    async with JavaScript() as javascript:
        async with running(server) as edge:
            client = await established(javascript, edge, [transport], False)
            polling = engine_socket(server, client).polling
            await until(lambda: polling is None or polling.waits)
        lost = await client.wait("disconnect")
        assert lost["reason"] == ("transport close" if transport == "websocket" else "transport error")
        await client.disconnect()
