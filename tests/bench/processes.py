"""The processes that the bench starts: pinned, spoken to in JSON lines, ended by their pid on any exit."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """Something the bench started did not do what it was started for."""


class Processes:
    """Owns what it starts. A context manager: nothing it started lives on after it."""

    def __init__(self) -> None:
        self._running: list[Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_all()

    def start(
        self,
        name: str,
        *command: str | Path,
        core: int,
        env: dict[str, str] | None = None,
        pipes: bool = False,
    ) -> Process:
        """Starts `command` on `core`. With `pipes` it can be called (`Process.call`)."""
        process = Process(name, [str(part) for part in command], core=core, env=env, pipes=pipes)
        self._running.append(process)
        return process

    def end_all(self) -> None:
        """Kills what still runs, the last started first."""
        while self._running:
            self._running.pop().end()


class Process:
    """One child. It gets SIGKILL from the kernel when the bench dies, however that happens."""

    def __init__(
        self, name: str, command: list[str], *, core: int, env: dict[str, str] | None, pipes: bool
    ) -> None:
        self.name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._buffer = b""
        libc = ctypes.CDLL(None)

        def in_child() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, {core})

        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else self._log,
            stderr=self._log,
            cwd=ROOT,
            env=os.environ | (env or {}),
            preexec_fn=in_child,  # noqa: PLW1509 - the bench has no threads
        )
        self.pid = self._popen.pid

    def call(self, verb: str, *, timeout_s: float = 120, **arguments: Any) -> dict[str, Any]:
        """Sends one command and waits for its answer."""
        self.send(verb, **arguments)
        return self.answer(timeout_s=timeout_s)

    def send(self, verb: str, **arguments: Any) -> None:
        """Sends one command; its answer must be taken with `answer`."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
        self._popen.stdin.flush()

    def answer(self, *, timeout_s: float = 120) -> dict[str, Any]:
        """The answer to the oldest command that was sent and not yet answered."""
        assert self._popen.stdout is not None
        deadline = time.monotonic() + timeout_s
        descriptor = self._popen.stdout.fileno()
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
                raise BenchError(f"{self.name}: no answer in {timeout_s} s\n{self.log()}")
            piece = os.read(descriptor, 65536)
            if not piece:
                raise BenchError(f"{self.name} ended\n{self.log()}")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def pause(self) -> None:
        """SIGSTOP: it runs no further until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """The end of what it wrote to stderr (and stdout, unless that is the pipe)."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), 3000, max(0, size - 3000)).decode(errors="replace")

    def end(self) -> None:
        """SIGKILL, and wait: 15,000 closing handshakes would measure nothing and take long."""
        if self.alive():
            self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # an unsent command to a dead child
                    pipe.close()
        self._log.close()


def python_module(module: str) -> tuple[str, ...]:
    """The command that runs a module with this interpreter."""
    return (sys.executable, "-m", module)
