"""Running the handlers of a client's events, and acknowledging them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from socketio import packet as sio_packet

from notify.backplane.delivery import wire_of
from notify.backplane.membership import Member
from notify.gateway.engineio.handlers import Handlers
from notify.gateway.socketio.client import ClientSocket
from notify.gateway.stats import GatewayStats
from notify.protocol.socketio import Packet

MAX_RUNNING_BYTES = 1 << 18
"""Bytes of packets of one client that handlers may be at work on; then its next packets wait."""


class EventServer(Protocol):
    """The server whose handlers these are: what is needed of `socketio.AsyncServer`, and of ours."""

    packet_class: Any
    not_handled: Any
    logger: Any
    stats: GatewayStats
    failed: Callable[[Exception], Any] | None
    handlers_in_flight: Handlers

    def _get_event_handler(self, event: str, namespace: str, args: tuple[Any, ...]) -> Any: ...

    def _get_namespace_handler(self, namespace: str, args: tuple[Any, ...]) -> Any: ...

    def dispatch(self, socket: ClientSocket, packet: Packet) -> None:
        """Act on a whole packet."""


class EventRunner:
    """Starts handlers in the order in which a client sent its events, and slows down one that sends too many.

    :param most: handlers of one client that may run at once.
    """

    def __init__(self, server: EventServer, *, most: int) -> None:
        self._server = server
        self._most = most
        self._handlers = server.handlers_in_flight

    def run(self, socket: ClientSocket, member: Member, packet: Packet) -> None:
        """Call the handler of an event, or see that it is called in its turn."""
        server = self._server
        server.stats.messages_in += 1
        event, *data = packet.data
        handler, args = server._get_event_handler(event, packet.namespace, (member.sid, *data))
        if handler is None:
            target, args = server._get_namespace_handler(packet.namespace, (member.sid, *data))
            if target is None or not isinstance(event, str):
                return
            handler, args = target.trigger_event, (event, *args)
        call: Any = partial(handler, *args)
        if self._handlers.idle:
            # With nothing queued before it, a handler that is a plain function needs no coroutine.
            try:
                result = self._handlers.context.copy().run(call)
                if not inspect.iscoroutine(result):
                    self._acknowledge(socket, packet, result)
                    return
            except Exception as error:
                self._server.logger.exception("The handler of an event failed")
                self.fail(socket, packet, error)
                return
            call = result
        socket.running += 1
        socket.running_size += packet.size
        if not self._takes_more(socket):
            socket.hold_back()
        self._handlers.submit(self._finish(socket, packet, call))

    async def _finish(self, socket: ClientSocket, packet: Packet, handler: Any) -> None:
        """Run a handler, or what is left of it, and acknowledge."""
        try:
            result = handler if inspect.iscoroutine(handler) else handler()
            if inspect.iscoroutine(result):
                result = await result
            self._acknowledge(socket, packet, result)
        except Exception as error:
            self._server.logger.exception("The handler of an event failed")
            self.fail(socket, packet, error)
        finally:
            socket.running -= 1
            socket.running_size -= packet.size
            if socket.backlog is not None and self._takes_more(socket):
                asyncio.get_running_loop().call_soon(self._catch_up, socket, context=self._handlers.context)

    def _takes_more(self, socket: ClientSocket) -> bool:
        return socket.running < self._most and socket.running_size < MAX_RUNNING_BYTES

    def _catch_up(self, socket: ClientSocket) -> None:
        for packet in socket.catch_up():
            self._server.dispatch(socket, packet)

    def _acknowledge(self, socket: ClientSocket, packet: Packet, result: Any) -> None:
        if packet.id is None or result is self._server.not_handled:
            return
        data = [] if result is None else list(result) if isinstance(result, tuple) else [result]
        ack = self._server.packet_class(sio_packet.ACK, namespace=packet.namespace, id=packet.id, data=data)
        socket.send(wire_of(ack.encode()))

    def fail(self, socket: ClientSocket, packet: Packet, error: Exception) -> None:
        """Acknowledge an event that could not be handled, if the server says how."""
        if self._server.failed is not None:
            self._acknowledge(socket, packet, self._server.failed(error))
