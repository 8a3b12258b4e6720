"""Where log lines go: to a thread of their own, so that nobody waits for whoever reads them.

Standard error may be a pipe that nobody empties, a file on a full disk, or closed. None of that may be felt
by a request: a line is taken, or counted as dropped, and the caller goes on either way.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

MAX_WAITING_BYTES = 1 << 20
"""Bytes of lines that may wait to be written. What comes beyond is dropped."""
MAX_BATCH_BYTES = 64 * 1024
CLOSE_WITHIN_S = 3.0
"""What a writer gets at the end to write what still waits."""
_RETRY_S = 1.0


@dataclass(slots=True)
class LogStats:
    """Since the start of this node."""

    lines: int = 0
    """Lines written."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Lines lost, by why: `full` (nobody reads fast enough), `failed` (they could not be written),
    `unreadable` (what was logged could not be made a line)."""


class LogWriter:
    """Writes lines to a file descriptor in the order in which they came. Its methods never raise or wait."""

    def __init__(self, fd: int, *, stats: LogStats, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        """The descriptor stays the caller's."""
        self._fd = fd
        self._stats = stats
        self._max_waiting_bytes = max_waiting_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._torn = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written, without its line break; or count it as dropped."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._closed or self._waiting_bytes + len(data) > self._max_waiting_bytes:
                self._stats.dropped["full"] += 1
                return
            self._lines.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify()

    def close(self, *, within_s: float = CLOSE_WITHIN_S) -> None:
        """Write what waits, for so long at most. Lines that come later are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(within_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closed:
                    self._changed.wait()
                if not self._lines:
                    return
                batch = self._next_batch()
            size = sum(map(len, batch))
            written = self._write(b"".join(batch))
            with self._changed:
                # Only now: until they are written they take up room.
                self._waiting_bytes -= size
                if written:
                    self._stats.lines += len(batch)
                else:
                    self._stats.dropped["failed"] += len(batch)

    def _next_batch(self) -> list[bytes]:
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= MAX_BATCH_BYTES:
            size += len(self._lines[0])
            batch.append(self._lines.popleft())
        return batch

    def _write(self, data: bytes) -> bool:
        """True when all of it was written. A line that was torn by an error is ended before the next one."""
        view = memoryview(b"\n" + data if self._torn else data)
        while view:
            try:
                count = os.write(self._fd, view)
            except BlockingIOError:  # somebody made it so; we have a thread in which to wait
                if not self._writable():
                    return False
                continue
            except OSError:
                return False
            self._torn = view[count - 1] != ord("\n") if count else self._torn
            view = view[count:]
        return True

    def _writable(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self._fd, select.POLLOUT)
            while not poll.poll(_RETRY_S * 1000):
                if self._closed:
                    return False
        except OSError:
            time.sleep(_RETRY_S)
            return False
        return True


def open_standard_streams() -> None:
    """Put /dev/null where standard input, output or error is closed.

    Otherwise the next file or socket would get its number, and whatever writes to "standard error" (a child
    process, a crash of the interpreter) would write into that.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
