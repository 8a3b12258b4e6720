"""HTTP on aiohttp with bounds: how long a head may take and be, how many connections, how they end.

aiohttp's own protocol waits an hour for a request, lets a head grow to a megabyte, logs what it could not
read, and stops without telling pooled callers. `HttpConnection` is that protocol without these faults; an
`HttpPort` is what the connections of one port share. tests/test_library_shapes.py fails when the methods that
are overridden here change their shape.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_server import Server

from notify.protocol.headers import END_OF_HEAD, SERVER

HEAD_TIMEOUT_S = 10.0
"""What a whole head may take, from the accepted connection or its first byte on."""
KEEP_ALIVE_S = 75.0
"""How long a connection may be idle. Longer than load balancers keep theirs (60 s): the side that sends
requests must be the one to close."""
LINGER_S = 5.0
"""How long unwanted input is still read: closing with unread input resets the connection, and the caller may
lose the answer."""
LINGER_BYTES = 1 << 20
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
READ_AT_ONCE = 32 * 1024
"""Bytes of a body after which it is decided whether to read on: in chunks of one byte they take 4 ms."""
AROUND_BODY = 64 * 1024
"""Bytes that a body may take beyond twice what is in it: its head, and what is around its chunks."""
BODY_MOMENT_S = 1.0
"""How long a shortcut's request is kept whose body is not whole, since many clients send head and body by two
writes. What takes longer is aiohttp's."""
MOMENT_S = 1.0
"""When a node stops: what idle connections get to carry one more request and be told `close`."""
_MOST_EVICTED = 16

BAD_REQUEST, HEAD_TOO_LARGE, SERVER_ERROR = 400, 431, 500

AnswerMalformed = Callable[[int], web.Response]
"""The answer, by its status, to what is no request: 400, 431; 500 and 504 when a handler failed."""

log = structlog.get_logger(__name__)


class Shortcut(Protocol):
    """Answers plain requests of one kind without aiohttp."""

    first_line: bytes
    """With what such a request begins."""

    def take(self, data: bytes, answer: Callable[[bytes, bytes], None]) -> bool:
        """Whether `data` is such a request, whole and alone: if not, nothing has been done.

        If so, `answer` is called with the head, each line of it ended, and the body; perhaps at once.
        """

    def lacks(self, data: bytes) -> int:
        """How many bytes are to come of what begins as such a request; 0 where it does not, or is whole.

        This bounds what is kept of a request.
        """


@dataclass(slots=True)
class HttpStats:
    """Since the start of this node, over its ports. The keys begin with the name of the port."""

    connections: Counter[str] = field(default_factory=Counter)
    """Connections that aiohttp has now (a level): not those that have become websockets."""
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Connections ended by us, by port and why: malformed, slow_head, large_head, evicted, refused."""


class HttpPort:
    """What the connections of one port share."""

    def __init__(
        self,
        name: str,
        *,
        answer_malformed: AnswerMalformed,
        stats: HttpStats,
        max_connections: Callable[[], int] | None = None,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        keep_alive_s: float = KEEP_ALIVE_S,
        body_moment_s: float = BODY_MOMENT_S,
    ) -> None:
        """With `max_connections()` open, the oldest that waits for a request makes room for a new one."""
        self.name = name
        self.shortcut: Shortcut | None = None
        self.answer_malformed = answer_malformed
        self.stats = stats
        self.head_timeout_s = head_timeout_s
        self.keep_alive_s = keep_alive_s
        self.body_moment_s = body_moment_s
        self.closing = False
        """Answers say `Connection: close`."""
        self.connections: dict[HttpConnection, None] = {}
        self._max_connections = max_connections
        self._closing_since = 0.0
        self._emptied: asyncio.Future[None] | None = None

    def factory(self, server: Server) -> Callable[[], HttpConnection]:
        """What makes a protocol for each connection; fits `loop.create_server`."""
        return lambda: HttpConnection(self, server)

    def malformed(self, status: int) -> web.Response:
        """The answer to what is no request. No application sees it, so its head is finished here."""
        response = self.answer_malformed(status)
        response.headers[hdrs.SERVER] = SERVER
        return response

    def close_soon(self) -> None:
        """From now on every answer ends its connection, and says so."""
        if not self.closing:
            self.closing = True
            self._closing_since = asyncio.get_running_loop().time()

    async def finish(self, *, within_s: float, moment_s: float = MOMENT_S) -> None:
        """End the connections: idle ones after a moment, others once their request is answered.

        To be called when nobody connects any more. Returns after `within_s` (and the moment) at the latest.
        """
        self.close_soon()
        loop = asyncio.get_running_loop()
        await self._empty(self._closing_since + moment_s - loop.time())
        for connection in list(self.connections):
            if connection.idle:
                connection.force_close()
        await self._empty(within_s)

    async def _empty(self, within_s: float) -> None:
        if not self.connections or within_s <= 0:
            return
        self._emptied = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._emptied,), timeout=within_s)
        self._emptied = None

    def opened(self, connection: HttpConnection) -> bool:
        """Count a connection. False when there is no room for it."""
        full = self._max_connections is not None and len(self.connections) >= self._max_connections()
        if full and not self._make_room():
            self.count("refused")
            return False
        self.connections[connection] = None
        self.stats.connections[self.name] += 1
        return True

    def closed(self, connection: HttpConnection) -> None:
        """Forget a connection; does nothing the second time."""
        if connection in self.connections:
            del self.connections[connection]
            self.stats.connections[self.name] -= 1
            if not self.connections and self._emptied is not None and not self._emptied.done():
                self._emptied.set_result(None)

    def count(self, reason: str) -> None:
        """Count a connection that we end."""
        self.stats.ended[self.name, reason] += 1

    def _make_room(self) -> bool:
        """End connections on which nobody is waiting for an answer, those first that never asked anything."""
        waiting = [connection for connection in self.connections if connection.awaits_head]
        waiting.sort(key=lambda connection: connection.has_asked)  # stable: the oldest first
        for connection in waiting[:_MOST_EVICTED]:
            self.count("evicted")
            connection.force_close()
            self.closed(connection)
        return bool(waiting)


class HttpConnection(RequestHandler):
    """One connection, until it ends or becomes a websocket."""

    __slots__ = (
        "_answered",
        "_answering",
        "_body_bytes",
        "_broken",
        "_deadline",
        "_discarded",
        "_early",
        "_gone",
        "_head_bytes",
        "_lacking",
        "_last_payload",
        "_pieces",
        "_port",
    )

    def __init__(self, port: HttpPort, server: Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=port.keep_alive_s,
            tcp_keepalive=False,  # pings, and these timeouts, find dead peers sooner
            access_log=None,  # type: ignore[arg-type] # aiohttp's own runner hands None on, too
            auto_decompress=False,  # a small body must not become a large one before it is refused
            lingering_time=LINGER_S,
            max_headers=MAX_HEADERS,
        )
        self._port = port
        self._answering = False
        self._early = b""
        self._head_bytes = 0
        self._pieces: list[bytes] = []
        """Of a shortcut's request that is not whole; `_lacking` bytes of it are still to come."""
        self._lacking = 0
        self._last_payload: StreamReader | None = None
        self._body_bytes = 0
        """Of the request whose body is under way, with its head and whatever is around its chunks."""
        self._answered: StreamReader | None = None
        """The body of the request that was answered last, read or not."""
        self._deadline: asyncio.TimerHandle | None = None
        self._broken = False
        self._discarded = 0
        self._gone: asyncio.Future[None] | None = None

    @property
    def awaits_head(self) -> bool:
        """True while nobody waits for an answer here."""
        if self._answering or self._pieces:
            return False
        if self._waiter is None:  # its task may not have run yet
            return not self._request_count
        return not self._waiter.done()

    @property
    def idle(self) -> bool:
        """True while it waits for a request of which nothing has come."""
        return self.awaits_head and not self._head_bytes

    @property
    def has_asked(self) -> bool:
        """True when there ever was a request."""
        return self._request_count > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._port.opened(self):
            transport.abort()  # type: ignore[attr-defined] # a server's transport can
            return
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        self._port.closed(self)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        super().connection_lost(exc)
        # They know this connection: a ring around what nobody read, or could.
        self._last_payload = self._answered = None
        self._pieces = []
        self._messages.clear()

    def data_received(self, data: bytes) -> None:
        if self._broken:
            self._discard(data)
            return
        if self._answering:  # aiohttp would not know of it, and answer first
            self._early += data
            if self.transport is not None:
                self.transport.pause_reading()
            return
        if self._payload_parser is not None:  # a handler has made this a websocket: there are no heads
            super().data_received(data)
            return
        if self._pieces:
            self._pieces.append(data)
            self._lacking -= len(data)
            if self._lacking > 0:
                return
            data = self._collected()
        shortcut = self._port.shortcut
        if shortcut is None or not data.startswith(shortcut.first_line) or not self._takes(shortcut, data):
            self._read_on(data)

    def _read_on(self, data: bytes) -> None:
        """Have aiohttp read it, piece by piece: what is around a body's chunks costs more than a body."""
        end = len(data)
        if self._body is None:
            head = data.find(END_OF_HEAD)
            end = head + len(END_OF_HEAD) + READ_AT_ONCE if head >= 0 else end
        else:
            end = READ_AT_ONCE
        self._read_piece(data[:end])  # be it empty: so aiohttp goes on with what it has kept back
        while end < len(data) and not self._broken and self.transport is not None:
            self._read_piece(data[end : end + READ_AT_ONCE])
            end += READ_AT_ONCE

    @property
    def _body(self) -> StreamReader | None:
        """The body that is under way."""
        payload = self._last_payload
        return None if payload is None or payload.is_eof() else payload

    def _read_piece(self, data: bytes) -> None:
        body = self._body
        if body is None:  # this is a head
            self._head_bytes += len(data)
            # A whole head may come in one read that is larger than a head may be.
            if self._head_bytes > MAX_HEAD_BYTES and data.find(END_OF_HEAD, 0, MAX_HEAD_BYTES) < 0:
                self._refuse_head()
                return
        heads = self._request_count
        self._body_bytes += len(data)
        super().data_received(data)
        if self._request_count != heads:
            self._head_bytes = 0
            self._body_bytes = len(data)
            self._disarm()
            if self._messages:
                message, self._last_payload = self._messages[-1]
                if isinstance(message, _ErrInfo):
                    _forget_where(message.exc)
                    self._give_up(body)
        elif self._head_bytes and self._deadline is None:
            self._arm()
        body = self._body
        if body is not None and not self._broken:
            self._judge(body, len(data))

    def _judge(self, body: StreamReader, size: int) -> None:
        """Read no further in a body that is mostly chunk lines, or that nobody wants and does not end."""
        wasteful = self._body_bytes > 2 * body.total_bytes + AROUND_BODY
        if body is self._answered:
            self._discarded += size
            if wasteful or self._discarded > LINGER_BYTES:
                self.force_close()
        elif wasteful:
            self._give_up(body)

    def _give_up(self, body: StreamReader | None) -> None:
        """This connection cannot be read any further."""
        self._port.count("malformed")
        self._broken = True
        if body is not None and not body.is_eof():  # its reader would wait for ever
            body.set_exception(RequestPayloadError("The body could not be read"))

    def _takes(self, shortcut: Shortcut, data: bytes) -> bool:
        """Whether the request is answered without aiohttp, or kept until it is whole."""
        if self._body is not None:  # this is more of it, whatever it looks like
            return False
        if not self.idle or self._messages or self._upgraded or self._paused or self._close:
            return False
        self._answering = True
        if shortcut.take(data, self._answer):
            self._request_count += 1
            self._disarm()
            return True
        self._answering = False
        self._lacking = shortcut.lacks(data)
        if not self._lacking:
            return False
        self._pieces = [data]
        self._disarm()
        self._deadline = self._loop.call_later(self._port.body_moment_s, self._wait_no_longer)
        return True

    def _collected(self) -> bytes:
        self._disarm()
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def _wait_no_longer(self) -> None:
        self._read_on(self._collected())

    def _answer(self, head: bytes, body: bytes) -> None:
        self._answering = False
        transport = self.transport
        if transport is None:  # the caller has gone
            return
        if self._port.closing:
            transport.write(b"".join((head, b"Connection: close\r\n\r\n", body)))
            self.force_close()
            return
        transport.write(b"".join((head, b"\r\n", body)))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        if self._early:
            early, self._early = self._early, b""
            transport.resume_reading()
            self.data_received(early)

    def _process_keepalive(self) -> None:
        if self._answering or self._pieces:  # aiohttp takes it for idle
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        if self._port.closing and isinstance(resp, web.StreamResponse) and not resp.prepared:
            resp.force_close()
        self._answered, self._discarded = request.content, 0
        if self._broken:
            return self._finish_last(request, resp, start_time)
        return super().finish_response(request, resp, start_time)

    async def _finish_last(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Answer on a connection that cannot be read any further, and give the answer time to arrive."""
        if isinstance(resp, web.StreamResponse) and not resp.prepared:
            resp.force_close()
        found = await super().finish_response(request, resp, start_time)
        if self.transport is not None and not self.transport.is_closing():
            self._gone = self._loop.create_future()
            self.transport.write_eof()
            await asyncio.wait((self._gone,), timeout=LINGER_S)
        return found

    def close(self) -> None:
        # What a runner does first when it ends. A request whose body is still coming would never get it.
        if self._answering or self._pieces or (self._port.closing and self._current_request is not None):
            return
        super().close()

    def force_close(self) -> None:
        self._disarm()
        super().force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request, and a handler that failed. Of the first nothing is logged or quoted."""
        if isinstance(exc, HttpProcessingError | RequestPayloadError):
            status = BAD_REQUEST
        elif exc is not None:
            self.log_exception(exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("An answer had begun")
        response = self._port.malformed(status)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a fault of ours, as the rest of the service does."""
        exc = kw.get("exc_info")
        log.error("http_failed", error=type(exc).__name__, exc_info=exc)

    def _arm(self) -> None:
        self._deadline = self._loop.call_later(self._port.head_timeout_s, self._on_deadline)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        self._port.count("slow_head")
        self.force_close()

    def _refuse_head(self) -> None:
        self._port.count("large_head")
        self._broken = True
        self._disarm()
        transport = self.transport
        if transport is None or not self.awaits_head:  # an answer is under way: ours would break it
            self.force_close()
            return
        transport.write(_serialized(self._port.malformed(HEAD_TOO_LARGE)))
        transport.write_eof()
        self._deadline = self._loop.call_later(LINGER_S, self.force_close)

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES and self.transport is not None:
            self.transport.abort()


def _forget_where(exc: BaseException | None) -> None:
    """Drop an error's frames: they hold it and what was read, until the garbage collector finds them."""
    while exc is not None:
        exc.__traceback__ = None
        exc = exc.__cause__ or exc.__context__


def _serialized(response: web.Response) -> bytes:
    """A whole answer as bytes, for where there is no request to answer."""
    body = response.body if isinstance(response.body, bytes) else b""
    head = [f"HTTP/1.1 {response.status} {response.reason}"]
    head += [f"{name}: {value}" for name, value in response.headers.items() if name != "Content-Length"]
    head += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1") + body
