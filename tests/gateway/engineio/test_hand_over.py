"""What gateway/engineio takes from aiohttp's inside.

When one of these fails after an upgrade of aiohttp: read web_protocol.py again, then change `hand_over`.
"""

from __future__ import annotations

import inspect
import sys

import pytest
from aiohttp import web
from aiohttp._websocket.helpers import websocket_mask
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

LETS_GO = "hand_over relies on RequestHandler.connection_lost to let go of a connection"


def source(function: object) -> str:
    return inspect.getsource(function)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["_message_tail", "_task_handler", "_force_close", "transport"])
def test_the_request_handler_has_the_attributes(name: str) -> None:
    handler = RequestHandler.__new__(RequestHandler)
    slots = {slot for kind in RequestHandler.__mro__ for slot in getattr(kind, "__slots__", ())}
    assert name in slots, f"RequestHandler.{name} is gone"
    setattr(handler, name, None)


def test_bytes_behind_an_upgrade_are_kept_in_the_message_tail() -> None:
    kept = source(RequestHandler.data_received)
    assert "self._message_tail = tail" in kept
    assert "self._message_tail += data" in kept
    # and nobody else takes them when the request is answered by a handed over connection
    assert "and self._parser is not None" in source(RequestHandler.finish_response)


def test_connection_lost_lets_go_without_touching_a_transport_that_was_taken_away() -> None:
    lost = source(RequestHandler.connection_lost)
    for step in (
        "self._manager.connection_lost(self",
        "self.force_close()",
        "self._keepalive_handle.cancel()",
    ):
        assert step in lost, LETS_GO
    for name in ("_manager", "_parser", "_request_handler", "_request_factory"):
        assert f"self.{name} = None" in lost, LETS_GO
    assert "if handler_cancellation and self._task_handler is not None" in lost, LETS_GO
    assert "if self.transport is not None" in source(RequestHandler.force_close), LETS_GO


def test_the_server_forgets_a_connection_without_a_task_at_once() -> None:
    assert "if handler._task_handler:" in source(Server.connection_lost)
    assert "del self._connections[handler]" in source(Server.connection_lost)


def test_the_loop_of_requests_ends_without_closing_once_forced() -> None:
    start = source(RequestHandler.start)
    assert "while not self._force_close" in start
    assert "if not self._force_close:\n            self._task_handler = None" in start


def test_writing_paused_is_public() -> None:
    assert isinstance(BaseProtocol.writing_paused, property)


def test_a_response_is_written_by_prepare_and_write_eof_only() -> None:
    finish = source(RequestHandler.finish_response)
    assert "await prepare_meth(request)\n            await resp.write_eof()" in finish
    assert list(inspect.signature(web.StreamResponse.prepare).parameters) == ["self", "request"]
    assert list(inspect.signature(web.StreamResponse.write_eof).parameters) == ["self", "data"]


def test_the_mask_works_in_place_and_is_compiled() -> None:
    data = bytearray(b"\x00\x01\x02\x03\x04\x05\x06")
    websocket_mask(b"\x10\x20\x30\x40", data)
    assert data == b"\x10\x21\x32\x43\x14\x25\x36"
    if sys.implementation.name == "cpython":
        assert websocket_mask.__name__ == "_websocket_mask_cython", "slow without its extension"
