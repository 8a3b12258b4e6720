"""Opens connections to Redis, whatever the URL says.

redis-py does what it does well: URLs, AUTH with ACL users, TLS, unix sockets, Sentinel. Once the connection
stands, its transport is handed to a protocol of ours, because reading through redis-py costs 10 us a message
and 70 us a command, and a bare hiredis reader 1 to 3.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from weakref import WeakKeyDictionary

from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from notify.domain.errors import Unavailable

TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel", "valkey+sentinel")

P = TypeVar("P", bound=asyncio.Protocol)


class Opener:
    """Knows where Redis is. Raises ValueError for a URL that cannot be understood."""

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self.timeout_s = timeout_s
        self._writers: WeakKeyDictionary[asyncio.Protocol, Any] = WeakKeyDictionary()
        self._options: dict[str, Any] = {
            "protocol": 2,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel: Sentinel | None = None
        self._service = ""
        self._pool: ConnectionPool | None = None
        if urlsplit(url).scheme in SENTINEL_SCHEMES:
            self._read_sentinel_url(url)
        else:
            self._pool = ConnectionPool.from_url(url, **self._options)

    def _read_sentinel_url(self, url: str) -> None:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        sentinels = []
        for host in hosts.split(","):
            name, _, port = host.rpartition(":")
            if not name or not port.isdigit():
                raise ValueError(f"Sentinels are given as host:port,host:port, not {host!r}")
            sentinels.append((name.strip("[]"), int(port)))
        user, _, password = credentials.partition(":")
        path = [unquote(piece) for piece in parts.path.strip("/").split("/") if piece]
        if not path or len(path) > 2 or (len(path) == 2 and not path[0].isdigit()):
            raise ValueError("a Sentinel URL ends in /<service> or /<database>/<service>")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        for_sentinels: dict[str, Any] = dict(self._options)
        for name in ("username", "password"):
            if f"sentinel_{name}" in options:
                for_sentinels[name] = options.pop(f"sentinel_{name}")
        if parts.scheme == "rediss+sentinel" or options.pop("ssl", "") in ("true", "True", "1"):
            # parse_url knows how the ssl_* options are spelled and typed
            query = "&".join(f"{name}={value}" for name, value in options.items())
            tls: dict[str, Any] = dict(parse_url(f"rediss://localhost?{query}"))
            del tls["host"], tls["connection_class"]
            self._options.update(tls, connection_class=SSLConnection)
            for_sentinels.update(tls, ssl=True)
        elif options:
            raise ValueError(f"unknown option in the Sentinel URL: {', '.join(sorted(options))}")
        if user:
            self._options["username"] = unquote(user)
        if password:
            self._options["password"] = unquote(password)
        if len(path) == 2:
            self._options["db"] = int(path[0])
        self._service = path[-1]
        self._sentinel = Sentinel(sentinels, sentinel_kwargs=for_sentinels)  # type: ignore[no-untyped-call]

    async def open(self, protocol: P) -> tuple[asyncio.Transport, P]:
        """A transport that is connected, authenticated and in RESP2, with `protocol` on it.

        Raises Unavailable when Redis, or through Sentinel a master, cannot be reached within the timeout.
        """
        try:
            async with asyncio.timeout(self.timeout_s * 3):
                connection = await self._connect()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Redis cannot be reached: {error}", retry_after_s=1) from error
        writer = connection._writer
        # The connection object must forget the stream, or it would close it when collected.
        connection._writer = connection._reader = None
        transport: asyncio.Transport = writer.transport
        sock = transport.get_extra_info("socket")
        if TCP_USER_TIMEOUT is not None and sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, int(self.timeout_s * 10_000))
        transport.set_protocol(protocol)
        self._writers[protocol] = writer  # collected earlier, it would close the transport
        protocol.connection_made(transport)
        return transport, protocol

    async def _connect(self) -> Any:
        if self._sentinel is not None:
            host, port = await self._sentinel.discover_master(self._service)
            options = dict(self._options)
            kind = options.pop("connection_class", Connection)
            connection = kind(host=host, port=port, **options)
        else:
            assert self._pool is not None  # noqa: S101
            connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        return connection

    async def close(self) -> None:
        """Let go of what was held for finding the master."""
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                await sentinel.aclose()
