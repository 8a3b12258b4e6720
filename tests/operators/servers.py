"""Redis as operators run it: with an ACL, with TLS, with a replica and Sentinels; each on loopback."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis

from notify.embedded.child import with_parent_death_signal
from notify.embedded.server import server_binary
from tests.support.ports import free_port

STARTED_S = 30.0


def until(found: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """What `found` returns as soon as it is true; errors of Redis count as not yet."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if result := found():
                return result
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


class Server:
    """One server process, with the lines of configuration it is given."""

    def __init__(
        self,
        directory: Path,
        *lines: str,
        program: str | None = None,
        arguments: Sequence[str] = (),
        port: int | None = None,
        plain: bool = True,
        **client: Any,
    ) -> None:
        """`plain=False` leaves the port to TLS; `client` are redis-py's options for the tests' own client."""
        directory.mkdir(parents=True)
        self.directory = directory
        self.port = free_port() if port is None else port
        self._program = program or server_binary()
        self._arguments = arguments
        self._client = client
        self._process: subprocess.Popen[bytes] | None = None
        ports = f"port {self.port}" if plain else f"port 0\ntls-port {self.port}"
        base = f"{ports}\nbind 127.0.0.1\ndir {directory}\nlogfile {directory}/server.log\nsave ''\n"
        (directory / "server.conf").write_text(base + "\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            with_parent_death_signal(
                [self._program, str(self.directory / "server.conf"), *self._arguments], by=signal.SIGKILL
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(lambda: self.call("PING"), within_s=STARTED_S, what=f"{self.directory.name} answers")

    def call(self, *command: str) -> Any:
        """Run one command over a connection of its own."""
        options = {"protocol": 2, "decode_responses": True, "socket_timeout": 2, **self._client}
        with redis.Redis(host="127.0.0.1", port=self.port, **options) as client:
            return client.execute_command(*command)

    def signal(self, sign: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(sign)

    def kill(self) -> None:
        """SIGKILL, also when it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "server.log").read_text()

    def __enter__(self) -> Self:
        try:
            if self._process is None:
                self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Sentinels:
    """A master, a replica, three Sentinels that agree by two. `url` is how the service finds the master."""

    NAME = "notify"

    def __init__(self, directory: Path, *lines: str) -> None:
        """`lines` are for both servers."""
        common = ("appendonly yes", "repl-diskless-sync-delay 0", "repl-timeout 5", *lines)
        self.first = Server(directory / "first", *common)
        self.second = Server(directory / "second", *common, f"replicaof 127.0.0.1 {self.first.port}")
        self.sentinels = [
            Server(
                directory / f"sentinel-{number}",
                f"sentinel monitor {self.NAME} 127.0.0.1 {self.first.port} 2",
                f"sentinel down-after-milliseconds {self.NAME} 500",
                f"sentinel failover-timeout {self.NAME} 4000",
                arguments=["--sentinel"],
            )
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        """For NOTIFY_REDIS_URL."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/0/{self.NAME}"

    def master(self) -> Server:
        """The one that the Sentinels name."""
        _, port = self.sentinels[0].call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)
        return next(server for server in (self.first, self.second) if server.port == int(port))

    def settle(self) -> None:
        """Wait until the replica follows, and every Sentinel knows it and the other two."""
        until(
            lambda: (
                "master_link_status:up" in self.second.call("INFO", "replication").__str__()
                or dict(self.second.call("INFO", "replication")).get("master_link_status") == "up"
            ),
            within_s=30,
            what="the replica follows",
        )

        def known(sentinel: Server) -> bool:
            flat = sentinel.call("SENTINEL", "MASTER", self.NAME)
            fields = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
            return int(fields["num-other-sentinels"]) == 2 and int(fields["num-slaves"]) == 1

        for sentinel in self.sentinels:
            until(partial(known, sentinel), within_s=30, what="the Sentinels know each other")

    def promoted(self, server: Server) -> None:
        """Wait until this one is the master, for all Sentinels and for itself."""
        until(
            lambda: (
                all(
                    int(each.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)[1]) == server.port
                    for each in self.sentinels
                )
                and server.call("ROLE")[0] == "master"
            ),
            within_s=30,
            what="the failover is over",
        )

    def demoted(self, server: Server) -> None:
        """Wait until this one follows the new master."""
        until(lambda: server.call("ROLE")[0] == "slave", within_s=30, what="the old master follows")

    def __enter__(self) -> Self:
        try:
            for server in (self.first, self.second, *self.sentinels):
                server.start()
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in (*self.sentinels, self.second, self.first):
            server.kill()
