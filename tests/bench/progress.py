"""What the bench is doing just now, on stderr."""

from __future__ import annotations

import sys
import time


class Progress:
    """One line a step; on a terminal the line of the running step is rewritten as it goes on."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0
        self._started = time.monotonic()
        self._live = sys.stderr.isatty()
        self._title = ""

    def step(self, scenario: str, peer: str, run: int, runs: int) -> None:
        """A new step begins."""
        self._step += 1
        self._title = f"[{self._step}/{self._steps}] {scenario} · {peer} · run {run} of {runs}"
        self._write("")

    def doing(self, what: str) -> None:
        """What the step is at."""
        if self._live:
            self._write(what)

    def done(self, outcome: str) -> None:
        """The step is over."""
        self._write(outcome, end=True)

    def _write(self, what: str, *, end: bool = False) -> None:
        if not self._live and not end:
            return
        elapsed = int(time.monotonic() - self._started)
        line = f"{elapsed // 60:02d}:{elapsed % 60:02d} {self._title} · {what}"
        sys.stderr.write(f"\r\x1b[2K{line}" + ("\n" if end else "") if self._live else line + "\n")
        sys.stderr.flush()
