"""What we override or use of the inside of python-socketio, python-engineio and aiohttp.

When one of these fails after an upgrade: read the method again, then change ours, then this. What
gateway/engineio takes from aiohttp is watched by tests/gateway/engineio/test_hand_over.py.
"""

from __future__ import annotations

import inspect
from typing import Any

import engineio
import pytest
import socketio
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from engineio import base_server as eio_base
from engineio import packet as eio_packet
from socketio import base_server as sio_base
from socketio import packet as sio_packet
from socketio.async_manager import AsyncManager

from notify.backplane.membership import Membership
from notify.gateway.engineio.server import Engine
from notify.gateway.socketio.server import SocketServer
from notify.ops.http_port import HttpConnection

OVERRIDDEN: list[tuple[Any, Any, str, str]] = [
    # stock class, our class, method, the signature of the stock one
    (socketio.AsyncServer, SocketServer, "_engineio_server_class", "(self)"),
    (socketio.AsyncServer, SocketServer, "_send_packet", "(self, eio_sid, pkt)"),
    (socketio.AsyncServer, SocketServer, "_send_eio_packet", "(self, eio_sid, eio_pkt)"),
    (socketio.AsyncServer, SocketServer, "disconnect", "(self, sid, namespace=None, ignore_queue=False)"),
    (socketio.AsyncServer, SocketServer, "shutdown", "(self)"),
    (engineio.AsyncServer, Engine, "attach", "(self, app, engineio_path='engine.io')"),
    (engineio.AsyncServer, Engine, "send", "(self, sid, data)"),
    (engineio.AsyncServer, Engine, "send_packet", "(self, sid, pkt)"),
    (engineio.AsyncServer, Engine, "disconnect", "(self, sid=None)"),
    (engineio.AsyncServer, Engine, "shutdown", "(self)"),
    (engineio.AsyncServer, Engine, "_get_socket", "(self, sid)"),
    (
        RequestHandler,
        HttpConnection,
        "connection_made",
        "(self, transport: asyncio.transports.BaseTransport) -> None",
    ),
    (RequestHandler, HttpConnection, "connection_lost", "(self, exc: BaseException | None) -> None"),
    (RequestHandler, HttpConnection, "data_received", "(self, data: bytes) -> None"),
    (RequestHandler, HttpConnection, "close", "(self) -> None"),
    (RequestHandler, HttpConnection, "_process_keepalive", "(self) -> None"),
    (RequestHandler, HttpConnection, "force_close", "(self) -> None"),
]

USED: list[tuple[Any, str, str]] = [
    (socketio.AsyncServer, "_trigger_event", "(self, event, namespace, *args)"),
    (socketio.AsyncServer, "_get_event_handler", "(self, event, namespace, args)"),
    (socketio.AsyncServer, "_get_namespace_handler", "(self, namespace, args)"),
    (socketio.AsyncServer, "transport", "(self, sid, namespace=None)"),
    (engineio.AsyncServer, "_trigger_event", "(self, event, *args, **kwargs)"),
    (engineio.AsyncServer, "_generate_sid_cookie", "(self, sid, attributes)"),
    (engineio.AsyncServer, "generate_id", "(self)"),
    (engineio.AsyncServer, "get_session", "(self, sid)"),
    (AsyncManager, "trigger_callback", "(self, sid, id, data)"),
    (AsyncManager, "can_disconnect", "(self, sid, namespace)"),
    (AsyncManager, "disconnect", "(self, sid, namespace, **kwargs)"),
    (AsyncManager, "_generate_ack_id", "(self, sid, callback)"),
    (eio_packet.Packet, "encode", "(self, b64=False)"),
    (sio_packet.Packet, "encode", "(self)"),
    (sio_packet.Packet, "add_attachment", "(self, attachment)"),
]


@pytest.mark.parametrize(
    ("stock", "ours", "name", "signature"), OVERRIDDEN, ids=lambda value: str(value)[:40]
)
def test_what_we_override_has_its_shape(stock, ours, name, signature):
    assert name in vars(ours), f"{ours.__name__}.{name} is gone"
    method = inspect.getattr_static(stock, name)
    assert str(inspect.signature(method)) == signature
    assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(vars(ours)[name])
    theirs = list(inspect.signature(method).parameters)
    assert list(inspect.signature(vars(ours)[name]).parameters)[: len(theirs)] == theirs


@pytest.mark.parametrize(("stock", "name", "signature"), USED, ids=lambda value: str(value)[:40])
def test_what_we_use_has_its_shape(stock, name, signature):
    assert str(inspect.signature(inspect.getattr_static(stock, name))) == signature


@pytest.mark.parametrize(
    "name",
    [
        "get_namespaces",
        "get_participants",
        "get_rooms",
        "sid_from_eio_sid",
        "eio_sid_from_sid",
        "is_sid_room",
        "is_pre_connected",
        "is_connected",
        "pre_connect",
        "connect",
        "pre_disconnect",
        "basic_disconnect",
        "basic_enter_room",
        "basic_leave_room",
        "basic_close_room",
    ],
)
def test_the_books_that_membership_replaces_have_their_shape(name):
    theirs = list(inspect.signature(inspect.getattr_static(AsyncManager, name)).parameters)
    ours = list(inspect.signature(inspect.getattr_static(Membership, name)).parameters)
    named = [parameter for parameter in theirs if parameter != "kwargs"]
    assert ours[: len(named)] == named


def test_every_option_of_the_stock_servers_is_known_here():
    """Accepted, or refused with a reason: a new one must be looked at."""
    stock = set(inspect.signature(eio_base.BaseServer.__init__).parameters) - {"self", "kwargs"}
    engine = set(inspect.signature(Engine.__init__).parameters) - {"self", "options"}
    accepted = Engine()  # the defaults are good
    for option in stock - engine:
        value: Any = {"http_compression": True, "compression_threshold": 1024, "ping_interval": 25}.get(
            option
        )
        defaults = inspect.signature(eio_base.BaseServer.__init__).parameters[option].default
        Engine(**{option: value if value is not None else defaults})
    assert accepted.async_mode == "aiohttp"
    stock = set(inspect.signature(sio_base.BaseServer.__init__).parameters) - {"self", "kwargs"}
    assert stock <= set(inspect.signature(SocketServer.__init__).parameters)


def test_the_stock_server_registers_what_our_engine_does_not_need():
    """Our receiver takes these calls; should python-socketio listen to more, it must be looked at."""
    assert set(SocketServer().eio.handlers) == {"connect", "message", "disconnect"}


def test_packet_types_and_reasons_are_what_they_were():
    assert sio_packet.packet_names == [
        "CONNECT",
        "DISCONNECT",
        "EVENT",
        "ACK",
        "CONNECT_ERROR",
        "BINARY_EVENT",
        "BINARY_ACK",
    ]
    reasons = {name: value for name, value in vars(Engine.reason).items() if name.isupper()}
    assert reasons == {
        "SERVER_DISCONNECT": "server disconnect",
        "CLIENT_DISCONNECT": "client disconnect",
        "PING_TIMEOUT": "ping timeout",
        "TRANSPORT_CLOSE": "transport close",
        "TRANSPORT_ERROR": "transport error",
    }


def test_aiohttp_tells_a_waiting_request_through_its_body_that_the_client_has_gone():
    """gateway/engineio/transports/http_polling.py puts a watch in the place of `_payload`."""
    assert "set_exception(self._payload, exc)" in inspect.getsource(web.BaseRequest._cancel)
    assert "self._current_request._cancel(exc)" in inspect.getsource(RequestHandler.connection_lost)


def test_a_connection_of_aiohttp_is_as_our_bounds_take_it():
    """`HttpConnection` counts heads by `_request_count`, and finds broken ones and bodies in `_messages`."""
    received = inspect.getsource(RequestHandler.data_received)
    assert "self._request_count += 1\n                self._messages.append((msg, payload))" in received
    assert "_ErrInfo(status=400, exc=exc, message=exc.message), EMPTY_PAYLOAD" in received
    start = inspect.getsource(RequestHandler.start)
    assert "self._waiter = loop.create_future()\n                    await self._waiter" in start
    assert "resp, reset = await self.finish_response(request, resp, start_time)" in inspect.getsource(
        RequestHandler._handle_request
    )
    finish = inspect.signature(RequestHandler.finish_response)
    assert list(finish.parameters) == ["self", "request", "resp", "start_time"]
    handle = inspect.signature(RequestHandler.handle_error)
    assert list(handle.parameters) == ["self", "request", "status", "exc", "message"]
    slots = {slot for kind in RequestHandler.__mro__ for slot in getattr(kind, "__slots__", ())}
    assert {"_waiter", "_messages", "_request_count", "_current_request", "_payload_parser"} <= slots
    # What a shortcut has answered is idle again as aiohttp counts it.
    keepalive = inspect.getsource(RequestHandler._process_keepalive)
    assert "now < close_time" in keepalive
    assert "self._next_keepalive_close_time = close_time" in start
    assert {"_upgraded", "_paused", "_close", "_keepalive_handle", "_next_keepalive_close_time"} <= slots
    # A websocket that a handler has accepted has no heads any more.
    assert "self._payload_parser.feed_data(data)" in received
