"""The other end of `Process.call`: commands in JSON lines on stdin, answers on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Lines:
    """Commands as they come in. `fileno` is for the caller's poller."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._buffer = b""

    def fileno(self) -> int:
        """The descriptor that becomes readable when there is a command."""
        return self._descriptor

    def read(self) -> list[dict[str, Any]] | None:
        """The commands that are complete, after one read; None at the end of input."""
        piece = os.read(self._descriptor, 1 << 20)
        if not piece:
            return None
        self._buffer += piece
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    @staticmethod
    def answer(reply: dict[str, Any]) -> None:
        """Answers a command."""
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
