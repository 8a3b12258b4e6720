"""Free ports for what `notify dev` starts."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

TURN_S = 20.0
"""How long one instance waits for another that starts."""


@asynccontextmanager
async def one_at_a_time(directory: Path | None = None, *, within_s: float = TURN_S) -> AsyncIterator[None]:
    """Keep other instances of this user from choosing ports until the ones chosen here are listened on.

    One that takes longer than `within_s` is waited for no more. `directory` is where the lock is.
    """
    path = (directory or Path(tempfile.gettempdir())) / f"notify-dev-{os.getuid()}.lock"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    with path.open("a") as lock:
        while loop.time() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(0.02)
        yield


class Ports:
    """Hands out loopback ports: the preferred ones while they are free, else others; none twice."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def take(self, preferred: int) -> int:
        """`preferred` or, when somebody has it, the next free one after it."""
        for port in _upwards(preferred):
            if port not in self._given and is_free(port):
                self._given.add(port)
                return port
        raise OSError(f"no free port from {preferred} upwards")


def _upwards(port: int) -> Iterator[int]:
    yield from range(port, min(port + 2000, 65536))


def is_free(port: int) -> bool:
    """True when nobody listens on it, on any address of this machine."""
    for family, host in ((socket.AF_INET, ""), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError:
            if family == socket.AF_INET:
                return False  # without IPv6 on this machine its address cannot be bound at all
    return True
