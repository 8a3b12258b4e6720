"""Child processes that do not outlive their parent, and how to tell a process from a later one with the same
number.

On Linux the kernel ends a child made by `with_parent_death_signal` when its parent is gone, even by SIGKILL
(prctl(2), PR_SET_PDEATHSIG). It watches the *thread* that forked, so start children from a thread that stays:
the main one. Other systems have no such call; there, the next start finds what a crash left by its record.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

LINUX = platform.system() == "Linux"

# Runs in the child between fork and exec, in an interpreter of its own instead of a `preexec_fn`, which can
# deadlock when the parent has threads. If the parent died before prctl, its number is no longer ours: leave.
_TETHER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(1, int(sys.argv[1]), 0, 0, 0) or os.getppid() != int(sys.argv[2]):
    sys.exit(71)
os.execv(sys.argv[3], sys.argv[3:])
"""


def with_parent_death_signal(command: list[str], *, by: signal.Signals = signal.SIGTERM) -> list[str]:
    """A command line that runs `command` (its first word is a path) and sends it `by` when we are gone."""
    if not LINUX:
        return command
    return [sys.executable, "-I", "-S", "-c", _TETHER, str(int(by)), str(os.getpid()), *command]


def process_start_time(pid: int) -> str | None:
    """When the process began, as a text that no other process of this machine shares with its number.

    None when there is no such process. Two are the same process if both number and start time are equal.
    """
    if LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return None
        state, *rest = stat[
            stat.rindex(")") + 2 :
        ].split()  # proc(5): the name may hold spaces and parentheses
        return None if state in "ZX" else f"{boot}/{rest[18]}"
    ps = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip() or None  # noqa: S603


def signalled(pid: int, born: str | None, sign: signal.Signals) -> bool:
    """Send `sign` to the process if it is still the one that started then. False when it is not."""
    if born is None or process_start_time(pid) != born:
        return False
    try:
        os.kill(pid, sign)
    except (ProcessLookupError, PermissionError):
        return False
    return True
