"""What the bench asks of the machine: cores, files, ports, the CPU time and memory of a process."""

from __future__ import annotations

import os
import platform
import resource
import socket
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE = _cores[0]
"""The core of the server under test, and of nothing else of ours."""
LOAD_CORE = _cores[1 % len(_cores)]
"""The core of everything else: load client, publisher, Redis, the other node."""

_ports = count(20_000 + os.getpid() % 6_000)


def raise_file_limit() -> int:
    """Raises the soft limit of open files to the hard one; answers it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """A free loopback port below the ephemeral range, which the load client's connections fill."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def go_first(pid: int = 0) -> None:
    """The main thread of a process, or this thread, has its core whenever it wants it, where that is allowed:
    what it is then busy with, or waits for, is not the rest of the machine.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def go_as_usual() -> None:
    """This thread gives that up."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def cpu_s(pid: int) -> float:
    """CPU seconds (user and system, all threads) that a process has used, to the nanosecond.

    The id of another process's CPU clock is made of its pid as clock_getcpuclockid(3) does it. It is the same
    sum as utime + stime in /proc/<pid>/stat, which counts in steps of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | 2)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, by smaps_rollup (statm lags behind by pages per CPU)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no Rss of process {pid}")


def waited_s(pid: int) -> float:
    """Seconds in which a process (its main thread) could have run but another one had its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def writes(pid: int) -> int:
    """write(2) calls of a process, send(2) not among them: uvloop and Node write, asyncio's loop sends."""
    for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines():
        if line.startswith("syscw:"):
            return int(line.split()[1])
    raise RuntimeError(f"no syscw of process {pid}")


def description() -> dict[str, str | int]:
    """The machine in words, for the results."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cores": len(_cores),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
