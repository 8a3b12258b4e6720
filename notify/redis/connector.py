"""Opens connections to Redis, for every kind of URL.

redis-py does what it does well: URLs, AUTH with ACL users, TLS, unix sockets, Sentinel. Once the connection
stands, its transport is handed to a protocol of ours, because reading through redis-py costs 10 us a message
and 70 us a command, and a bare hiredis reader 1 to 3.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit
from weakref import WeakKeyDictionary

from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from notify.domain.errors import NotifyError, Unavailable

TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel", "valkey+sentinel")
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")

P = TypeVar("P", bound=asyncio.Protocol)


class BadRedisUrl(ValueError):
    """A URL that names no Redis. The message says what is wrong, and holds no password."""


class Refused(NotifyError):
    """Redis was reached and refused us: user, password, certificate or database are wrong."""

    code, title = "store_refused", "The store refused the connection"


class Connector:
    """Knows where Redis is. Raises BadRedisUrl for a URL that cannot be understood."""

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
        try:
            if urlsplit(url).scheme in SENTINEL_SCHEMES:
                self._read_sentinel_url(url)
            else:
                _check_database(url)
                self._pool = ConnectionPool.from_url(url, **self._options)
                if str(self._pool.connection_kwargs.get("protocol")) != "2":
                    raise ValueError("leave `protocol` out: notify always speaks RESP2")
                self._pool.make_connection()  # type: ignore[no-untyped-call] # an unknown option shows here
        except (ValueError, TypeError, RedisError) as error:
            unknown = _UNKNOWN_OPTION.search(str(error))
            reason = f"there is no option {unknown[1]} with this scheme" if unknown else str(error)
            raise BadRedisUrl(f"The URL of Redis cannot be used: {reason.rstrip('.')}") from error

    def _read_sentinel_url(self, url: str) -> None:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        sentinels = []
        for host in hosts.split(","):
            name, _, port = host.rpartition(":")
            if not name or not port.isdigit():
                raise ValueError(f"Sentinels are written host:port,host:port, not {host!r}")
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

        Raises Unavailable when Redis, or through Sentinel a master, cannot be reached within the timeout, and
        Refused when it does not let us in, which trying again does not change.
        """
        self._look_for_files()
        try:
            async with asyncio.timeout(self.timeout_s * 3):
                connection = await self._connect()
        except (RedisError, OSError, TimeoutError) as error:
            if _is_of_a_certificate(error):
                raise Refused(
                    f"Redis was reached, but cannot prove that it is Redis: {error}. Check the certificates "
                    "(ssl_ca_certs) in NOTIFY_REDIS_URL."
                ) from error
            if _refused(error):
                raise Refused(
                    f"Redis was reached, and refused us: {error}. Check the user, password and database in "
                    "NOTIFY_REDIS_URL."
                ) from error
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

    def _look_for_files(self) -> None:
        """Raises Refused when one cannot be read: to redis-py that looks like a server that is not there."""
        options = self._options if self._pool is None else self._pool.connection_kwargs
        for name in TLS_FILES:
            path = options.get(name)
            try:
                if path:
                    Path(path).open("rb").close()
            except OSError as error:
                raise Refused(
                    f"The file that {name} in NOTIFY_REDIS_URL names cannot be read: {error}."
                ) from error

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


def _check_database(url: str) -> None:
    """Raises ValueError for a path that is no database: redis-py takes `/x` for 0, and `/0/1` for 1."""
    parts = urlsplit(url)
    database = unquote(parts.path).removeprefix("/")
    if parts.scheme != "unix" and not re.fullmatch("[0-9]*", database):
        raise ValueError(f"its path is the number of a database, such as /0, not /{database}")


def _refused(error: Exception) -> bool:
    """True when Redis itself refused, and not only for the moment (LOADING, MASTERDOWN, too many clients)."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        return True
    if isinstance(error, ResponseError):
        return not isinstance(error, ClusterDownError | ReadOnlyError)
    return str(error) == "Invalid Database"


def _is_of_a_certificate(error: BaseException) -> bool:
    """True when it is not Redis that answers, or cannot prove that it is."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return True
        found = found.__cause__ or found.__context__
    return False
