"""Machines whose clock is wrong: libfaketime under a node's process."""

from __future__ import annotations

from pathlib import Path

from tests.support import debian


def clock_off_by(offset: str) -> dict[str, str]:
    """Environment for a process whose clock is off: `+1h`, `-3600s`. The monotonic clock runs as ever.

    Skips the test where libfaketime cannot be had.
    """
    debian.program("faketime", "faketime")
    (library, *_) = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
