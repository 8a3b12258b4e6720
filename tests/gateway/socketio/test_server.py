"""SocketServer is used like `socketio.AsyncServer`; here by way of python-socketio's own client."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import Any

import pytest
import socketio
from socketio.exceptions import ConnectionError as ClientConnectionError
from socketio.exceptions import TimeoutError as CallTimeoutError
from websockets.exceptions import ConnectionClosed

from notify.gateway.socketio.server import SocketServer
from tests.gateway.edge import running
from tests.gateway.loops import on_both_loops
from tests.support.waiting import until

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


@contextlib.asynccontextmanager
async def python_client(edge, transport="websocket", **options):
    """A connected client; `client.got` holds (event, arguments...) of what it receives."""
    client = socketio.AsyncClient(reconnection=False, http_session=edge.session)
    client.got = []
    client.on("*", lambda event, *args: client.got.append((event, *args)))
    await client.connect(edge.origin, transports=[transport], **options)
    try:
        yield client
    finally:
        await client.disconnect()


@BOTH
@on_both_loops
async def test_events_acknowledgements_and_binary_go_both_ways(transport):
    server = SocketServer()
    server.on("sync", lambda sid, *args: args)

    async def later(sid, data):
        await asyncio.sleep(0)
        return {"got": data}

    server.on("async", later)
    server.on("nothing", lambda sid: None)
    async with running(server) as edge, python_client(edge, transport) as client:
        assert await client.call("sync", (1, b"two")) == (1, b"two")
        assert await client.call("async", "x") == {"got": "x"}
        assert await client.call("nothing") is None
        sid = client.get_sid()
        assert server.transport(sid) == transport
        await server.emit("several", (1, {"b": b"\x00"}), to=sid)
        await server.send("plain", to=sid)
        await until(lambda: len(client.got) == 2)
        assert client.got == [("several", 1, {"b": b"\x00"}), ("message", "plain")]


async def test_the_server_calls_the_client():
    server = SocketServer()
    async with running(server) as edge, python_client(edge) as client:
        client.on("add", lambda a, b: a + b)
        sid = client.get_sid()
        assert await server.call("add", (1, 2), to=sid) == 3
        answers: list[int] = []
        await server.emit("add", (3, 4), to=sid, callback=answers.append)
        await until(lambda: answers == [7])
        never = asyncio.Event()

        async def silence():
            await never.wait()

        client.on("silence", silence)
        with pytest.raises(CallTimeoutError):
            await server.call("silence", to=sid, timeout=0.05)
        never.set()
        assert not any(callable(waiting) for waiting in server.manager.callbacks.get(sid, {}).values())
        with pytest.raises(CallTimeoutError):
            await server.call("add", (1, 2), to="nobody", timeout=0.05)
        assert "nobody" not in server.manager.callbacks


async def test_rooms_and_sessions_and_environs():
    server = SocketServer()
    own = {"X-Own": "yes"}
    async with running(server) as edge, python_client(edge, headers=own) as a, python_client(edge) as b:
        sid, other = a.get_sid(), b.get_sid()
        await server.enter_room(sid, "chess")
        assert sorted(server.rooms(sid)) == sorted([sid, "chess"])
        await server.emit("move", "e4", room="chess")
        await server.emit("all", skip_sid=sid)
        await until(lambda: a.got and b.got)
        assert (a.got, b.got) == ([("move", "e4")], [("all",)])
        await server.leave_room(sid, "chess")
        assert server.rooms(sid) == [sid]
        async with server.session(sid) as session:
            session["name"] = "ada"
        assert await server.get_session(sid) == {"name": "ada"}
        assert await server.get_session(other) == {}
        environ = server.get_environ(sid)
        assert environ["HTTP_X_OWN"] == "yes"
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["aiohttp.request"].headers["X-Own"] == "yes"


async def test_environs_need_not_be_kept():
    server = SocketServer(keep_environ=False)
    seen = []
    server.on("connect", lambda sid, environ: seen.append(environ["HTTP_X_OWN"]))
    async with running(server) as edge, python_client(edge, headers={"X-Own": "yes"}) as client:
        assert seen == ["yes"]
        assert server.get_environ(client.get_sid()) is None
        assert not server.environ


async def test_catch_alls_and_class_based_namespaces():
    server = SocketServer(namespaces="*")
    seen = []

    class Chat(socketio.AsyncNamespace):
        def on_connect(self, sid, environ):
            seen.append(("chat connect", bool(environ)))

        async def on_say(self, sid, text):
            return f"said {text}"

        def on_disconnect(self, sid, reason):
            seen.append(("chat disconnect", reason))

    server.register_namespace(Chat("/chat"))
    server.on("*", lambda event, sid, *args: ["any", event, *args])
    server.on("x", lambda namespace, sid: ["anywhere", "x", namespace], namespace="*")
    async with running(server) as edge:
        async with python_client(edge, "polling", namespaces=["/", "/chat", "/else"]) as client:
            assert await client.call("x", 1) == ["any", "x", 1]
            assert await client.call("say", "hi", namespace="/chat") == "said hi"
            assert await client.call("x", namespace="/else") == ["anywhere", "x", "/else"]
        await until(lambda: len(seen) == 2)
        assert seen == [("chat connect", True), ("chat disconnect", "client disconnect")]


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (lambda sid, environ: False, {"message": "Connection rejected by server"}),
        (lambda sid, environ, auth: 1 / 0, {"message": "Connection rejected by server"}),
    ],
)
async def test_a_connect_handler_refuses(handler, message, caplog):
    server = SocketServer()
    server.on("connect", handler)
    async with running(server) as edge:
        client = socketio.AsyncClient(reconnection=False, http_session=edge.session)
        refusals: list[Any] = []
        client.on("connect_error", refusals.append)
        with pytest.raises(ClientConnectionError):
            await client.connect(edge.origin, transports=["websocket"], auth={"a": 1})
        assert refusals == [message]
        await client.disconnect()


async def test_a_refusal_may_carry_data():
    server = SocketServer()

    async def refuse(sid, environ, auth):
        raise socketio.exceptions.ConnectionRefusedError("not you", {"code": 7})

    server.on("connect", refuse)
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        assert await websocket.recv() == '44{"message":"not you","data":{"code":7}}'
        await websocket.close()


async def test_with_always_connect_a_refusal_is_a_disconnect():
    server = SocketServer(always_connect=True)
    server.on("connect", lambda sid, environ: False)
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("40")
        assert (await websocket.recv(decode=True)).startswith("40{")
        assert await websocket.recv() == "41"
        await websocket.close()


@BOTH
@on_both_loops
async def test_disconnect_reasons_are_python_socketios(transport):
    server = SocketServer(ping_interval=0.2, ping_timeout=0.2)
    reasons: dict[str, str] = {}

    async def gone(sid, reason):
        session = await server.get_session(sid)
        reasons[session["name"]] = reason
        assert server.rooms(sid) == [sid, "r"]

    async def come(sid, environ, auth):
        async with server.session(sid) as session:
            session["name"] = auth["name"]
        await server.enter_room(sid, "r")

    server.on("connect", come)
    server.on("disconnect", gone)
    names = ["client", "namespace", "server", "engine", "lost", "wrong", "silent"]
    async with running(server) as edge:
        peers: dict[str, Any] = {}
        for name in names:
            if transport == "websocket":
                peer: Any = await edge.open_websocket()
                send = peer.send
            else:
                peer = await edge.open_polling()
                send = peer.post
            peers[name] = peer
            await send('40{"name":"' + name + '"}')
        await until(lambda: server.stats.connects == len(names))
        members = {}
        for sid, eio_sid in server.manager.get_participants("/", None):
            members[(await server.get_session(sid))["name"]] = sid, server.eio.sockets[eio_sid]
        sends = {name: peer.send if transport == "websocket" else peer.post for name, peer in peers.items()}
        await sends["client"]("1")
        await sends["namespace"]("41")
        await sends["wrong"]("4nonsense")
        await server.disconnect(members["server"][0])
        await server.eio.disconnect(members["engine"][1].sid)
        if transport == "websocket":
            peers["lost"].transport.abort()
        else:
            assert (await peers["lost"].poll()).startswith("40")
            await asyncio.gather(peers["lost"].get(), peers["lost"].get())
        await until(lambda: len(reasons) == len(names))
        assert reasons == {
            "client": "client disconnect",
            "namespace": "client disconnect",
            "server": "server disconnect",
            "engine": "server disconnect",
            "lost": "transport close" if transport == "websocket" else "transport error",
            "wrong": "transport error",
            "silent": "ping timeout",
        }
        if transport == "websocket":
            for peer in peers.values():
                await peer.close()


async def test_old_disconnect_handlers_without_a_reason_still_work():
    server = SocketServer()
    gone = []

    def old(sid):
        gone.append(sid)

    server.on("disconnect", old)
    async with running(server) as edge:
        async with python_client(edge) as client:
            sid = client.get_sid()
        await until(lambda: gone == [sid])


async def test_a_failing_disconnect_handler_keeps_nobody():
    server = SocketServer()
    server.on("disconnect", lambda sid, reason: 1 / 0)
    async with running(server) as edge:
        async with python_client(edge):
            pass
        async with python_client(edge) as client:
            await server.disconnect(client.get_sid())
        await until(lambda: not server.manager.books)


@BOTH
@on_both_loops
@pytest.mark.parametrize("accept", [True, False])
async def test_a_client_that_leaves_during_a_slow_connect_handler_leaves_nothing_behind(transport, accept):
    server = SocketServer()
    begun, go_on, order = asyncio.Event(), asyncio.Event(), []

    async def slow(sid, environ):
        await server.enter_room(sid, "r")
        begun.set()
        await go_on.wait()
        order.append("connect")
        async with server.session(sid) as session:
            session["x"] = 1
        return accept

    server.on("connect", slow)
    server.on("disconnect", lambda sid, reason: order.append(reason))
    async with running(server) as edge:
        if transport == "websocket":
            websocket = await edge.open_websocket()
            await websocket.send("40")
            await begun.wait()
            await websocket.close()
            expected = "transport close"
        else:
            poller = await edge.open_polling()
            await poller.post("40")
            await begun.wait()
            await poller.post("1")
            await poller.get()
            expected = "client disconnect"
        await until(lambda: not server.eio.sockets)
        go_on.set()
        await until(lambda: not server.manager.books and not server.environ and not server.eio.leaving)
        await until(lambda: len(order) == 1 + accept)
        assert order == (["connect", expected] if accept else ["connect"])


# -- handlers --------------------------------------------------------------------------------------------


@on_both_loops
async def test_handlers_of_one_client_start_in_the_order_of_its_events():
    server = SocketServer()
    order = []
    var = contextvars.ContextVar("var", default="unset")

    async def waiting(sid, number):
        order.append(number)
        assert var.get() == "unset"
        var.set(number)
        async with asyncio.timeout(30):  # needs to be in a task
            await asyncio.sleep(0.001)
        assert var.get() == number

    async def straight(sid, number):
        assert var.get() == "unset"
        var.set(number)
        order.append(number)

    def plain(sid, number):
        assert var.get() == "unset"
        var.set(number)
        order.append(number)

    server.on("waiting", waiting)
    server.on("straight", straight)
    server.on("plain", plain)
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.send("40")
        await websocket.recv()
        assert (await websocket.recv(decode=True)).startswith("40")
        for number in range(300):
            kind = ("waiting", "plain", "straight", "plain")[number % 4]
            await websocket.send(f'42["{kind}",{number}]')
        await until(lambda: len(order) == 300)
        assert order == list(range(300))
        await until(lambda: not len(server.eio.handlers_in_flight))
        await websocket.close()


async def test_handlers_that_wait_for_nothing_share_tasks():
    server = SocketServer()
    tasks = set()

    async def straight(sid):
        tasks.add(asyncio.current_task())

    server.on("x", straight)
    async with running(server) as edge:
        poller = await edge.open_polling()
        await poller.post("40")
        await poller.post("\x1e".join(['42["x"]'] * 100))
        await until(lambda: tasks)
        assert len(tasks) == 1


@BOTH
async def test_without_async_handlers_one_runs_after_the_other(transport):
    server = SocketServer(async_handlers=False)
    order = []

    async def handler(sid, number):
        order.append(("begin", number))
        await asyncio.sleep(0.001)
        order.append(("end", number))

    server.on("x", handler)
    async with running(server) as edge, python_client(edge, transport) as client:
        for number in range(30):
            await client.emit("x", number)
        await until(lambda: len(order) == 60)
        assert order == [(what, number) for number in range(30) for what in ("begin", "end")]


@BOTH
async def test_a_client_whose_handlers_do_not_keep_up_is_not_read_from(transport):
    server = SocketServer(max_handlers=3)
    gate = asyncio.Event()
    begun = []

    async def handler(sid, number):
        begun.append(number)
        await gate.wait()

    server.on("x", handler)
    async with running(server) as edge, python_client(edge, transport) as client:
        for number in range(50):
            await client.emit("x", number)
        await until(lambda: len(begun) == 3)
        socket = next(iter(server.eio.sockets.values()))
        assert socket.running == 3
        assert socket.backlog is not None
        gate.set()
        await until(lambda: len(begun) == 50)
        assert begun == list(range(50))
        await until(lambda: socket.backlog is None and socket.running == 0)


async def test_a_failing_handler_is_logged_and_costs_nobody_anything(caplog):
    server = SocketServer()

    async def failing(sid):
        raise RuntimeError("asked for")

    server.on("async", failing)
    server.on("sync", lambda sid: 1 / 0)
    server.on("arguments", lambda sid, one: one)
    server.on("fine", lambda sid: "fine")
    async with running(server) as edge, python_client(edge) as client:
        for event in ("async", "sync", "arguments"):
            await client.emit(event)
        assert await client.call("fine") == "fine"
        await until(lambda: len([r for r in caplog.records if r.exc_info]) == 3)


async def test_handlers_are_cancelled_when_they_outlive_the_shutdown(monkeypatch):
    monkeypatch.setattr("notify.gateway.engineio.server.SHUTDOWN_GRACE_S", 0.05)
    server = SocketServer()
    begun, ended = asyncio.Event(), []

    async def stuck(sid):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(sid)

    async def goodbye(sid, reason):
        await asyncio.sleep(0.001)
        ended.append(reason)

    server.on("stuck", stuck)
    server.on("disconnect", goodbye)
    async with running(server) as edge, python_client(edge) as client:
        sid = client.get_sid()
        await client.emit("stuck")
        await begun.wait()
        await server.shutdown()
        assert ended == ["server disconnect", sid]


# -- options ---------------------------------------------------------------------------------------------


async def test_a_json_module_is_this_servers_alone():
    class Shouting:
        dumps = staticmethod(lambda value, **_: __import__("json").dumps(value).upper())
        loads = staticmethod(__import__("json").loads)

    shouting, plain = SocketServer(json=Shouting), SocketServer()
    for server, expected in ((shouting, '42["A", "B"]'), (plain, '42["a","b"]')):
        async with running(server) as edge:
            websocket = await edge.open_websocket()
            await websocket.recv()
            await websocket.send("40")
            await websocket.recv()
            await server.emit("a", "b")
            assert await websocket.recv() == expected
            await websocket.close()


def test_a_serializer_may_be_a_packet_class_of_ones_own():
    class Own(socketio.packet.Packet):
        pass

    assert SocketServer(serializer=Own).packet_class is Own


async def test_another_packet_class_reads_and_writes():
    class Reversed(socketio.packet.Packet):
        def encode(self):
            encoded = super().encode()
            return encoded[::-1].encode() if isinstance(encoded, str) else encoded

        def decode(self, encoded):
            return super().decode(encoded[::-1].decode() if isinstance(encoded, bytes) else encoded)

    server = SocketServer(serializer=Reversed)
    server.on("x", lambda sid, *args: args)
    async with running(server) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send(b"0")
        assert (await websocket.recv(decode=False))[::-1].startswith(b'0{"sid":')
        await websocket.send(b'27["x",1]'[:2] + b"")  # no payload: not a packet
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send(b"0")
        await websocket.recv()
        await websocket.send(b'27["x",1]'[::-1])
        assert (await websocket.recv())[::-1] == b"37[1]"
        await websocket.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"async_mode": "asgi"}, ValueError),
        ({"monitor_clients": False}, ValueError),
        ({"no_such_option": 1}, TypeError),
    ],
)
def test_options_that_cannot_be_had_are_refused(options, error):
    with pytest.raises(error, match=next(iter(options))):
        SocketServer(**options)


def test_the_admin_ui_is_refused_with_a_reason():
    with pytest.raises(RuntimeError, match="admin UI"):
        SocketServer().instrument(auth=False)
