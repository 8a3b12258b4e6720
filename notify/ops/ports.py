"""Opening a port: an aiohttp application, its listener, and how both end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import hdrs, web

from notify.ops.http_port import HttpPort
from notify.ops.listening import cannot_listen
from notify.protocol.headers import SERVER

LISTEN_QUEUE = 4096
TAKEN_A_TURN = 4
"""Connections taken in one turn of the loop: uvloop takes one of each descriptor that it listens on.

What comes in one turn is looked after together, so that with one a turn a connect costs a quarter more in a
storm. When only one comes, the others cost a failed accept(2) each.
"""

ProtocolFactory = Callable[[], asyncio.Protocol]


async def open_port(
    stack: AsyncExitStack,
    application: web.Application,
    port: HttpPort,
    *,
    host: str,
    number: int,
    prefix: str = "NOTIFY_",
    shutdown_s: float,
    front: Callable[[ProtocolFactory], ProtocolFactory] | None = None,
    hurried: Callable[[], bool] = lambda: False,
    ending: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Listen for `application`; the port, which is not `number` where that is 0.

    Leaving `stack` closes the listener, calls `ending` for connections that would not end by themselves,
    gives requests under way `shutdown_s` to finish, unless somebody is in a hurry, and then closes the rest.
    `front` puts a protocol of its own before HTTP.
    Raises CannotListen, which names the settings by their `prefix`.
    """
    application.on_response_prepare.append(_say_who)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_s)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")

    def finish() -> Awaitable[None]:
        if hurried():
            return port.finish(within_s=0, moment_s=0)
        return port.finish(within_s=shutdown_s)

    stack.push_async_callback(finish)
    if ending is not None:
        stack.push_async_callback(ending)
    factory: ProtocolFactory = port.factory(runner.server)
    if front is not None:
        factory = front(factory)
    loop = asyncio.get_running_loop()
    try:
        if host == "::":  # asyncio would listen for IPv6 alone
            both = socket.create_server(
                (host, number), family=socket.AF_INET6, dualstack_ipv6=socket.has_dualstack_ipv6()
            )
            listener = await loop.create_server(factory, sock=both, backlog=LISTEN_QUEUE)
        else:
            listener = await loop.create_server(factory, host, number, backlog=LISTEN_QUEUE)
    except OSError as error:
        raise cannot_listen(error, host=host, port=number, prefix=prefix) from error
    stack.callback(listener.close)
    for listening in listener.sockets:
        for _ in range(TAKEN_A_TURN - 1):
            same = socket.socket(fileno=os.dup(listening.fileno()))
            stack.callback((await loop.create_server(factory, sock=same, backlog=LISTEN_QUEUE)).close)
    bound: int = listener.sockets[0].getsockname()[1]
    return bound


async def _say_who(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER
