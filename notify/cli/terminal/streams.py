"""Standard output in every state it may be in: closed from the start, full, or no longer read."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import stat
import sys
from collections.abc import Callable


class _Closed(io.TextIOBase):
    """A standard output that was closed before we started: writing to it is an error, not a crash."""

    def write(self, text: str, /) -> int:
        """Refuse."""
        raise OSError(errno.EBADF, "standard output is closed")


def prepare() -> None:
    """Make sure that the three standard descriptors are open: a closed one would go to the next file opened.

    A file opened as descriptor 1 would then get what some library prints.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor: this one
    if sys.stdout is None:
        sys.stdout = _Closed()


def abandon() -> None:
    """Discard what standard output still buffers, or Python would complain about it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def when_unread(call: Callable[[], None]) -> None:
    """Call back once, when standard output is a pipe whose reader goes away. Else nothing happens.

    Without this `... | head -1` would end only at the next write; as it does where the system is not Linux,
    which alone reports it this way.
    """
    if sys.platform != "linux":
        return
    try:
        descriptor = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
    except (OSError, ValueError):
        return  # no descriptor: captured by a test, or closed
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(descriptor)
        call()

    loop.add_reader(descriptor, gone)  # of a pipe's writing end, "readable" means that it is broken
