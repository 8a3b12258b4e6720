"""A real server for tests, with what tests want to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from notify.embedded.server import EmbeddedServer
from notify.store.keys import Keys
from tests.support.ports import free_port


class Valkey(EmbeddedServer):
    """The embedded server on a unix socket (`url`) and on a loopback port (`tcp_url`)."""

    config = EmbeddedServer.config + "enable-debug-command local\n"

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        super().__init__(directory, port=free_port() if port is None else port)

    @contextmanager
    def client(self, *, timeout_s: float | None = None) -> Iterator[redis.Redis]:
        """A plain blocking client, for what tests set up and look up."""
        path = self.url.removeprefix("unix://")
        with redis.Redis(unix_socket_path=path, protocol=2, socket_timeout=timeout_s) as client:
            yield client

    def kill(self) -> None:
        """End it at once, as a crash would on a machine whose disk keeps up.

        While an fsync is slow, `everysec` holds back writes for up to 2 s (`aof_delayed_fsync` in INFO), and
        a crash would lose them: on a busy machine that would happen now and then.
        """
        if self.running:
            with suppress(redis.RedisError), self.client(timeout_s=5) as client:
                client.config_set("appendfsync", "always")
        super().kill()

    def flush(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()

    def lose_data(self) -> None:
        """Throw away what is on the disk. Only while it does not run."""
        assert not self.running
        for path in self.directory.rglob("*"):
            if path.is_file() and path.suffix in (".aof", ".rdb", ".manifest"):
                path.unlink()

    def eternal_keys(self) -> list[str]:
        """Keys that would stay for ever and are not of those that may."""
        with self.client() as client:
            names = [name.decode() for name in client.scan_iter(count=1000)]
            lifetimes = client.pipeline(transaction=False)
            for name in names:
                lifetimes.ttl(name)
            found = zip(names, lifetimes.execute(), strict=True)
        return [name for name, ttl in found if ttl == -1 and name.rpartition(":")[2] not in Keys.PERMANENT]
