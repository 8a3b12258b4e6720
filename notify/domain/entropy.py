"""Random bytes from the operating system, read in blocks: a system call for each name would cost 10 us."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode

BLOCK = 4096


class Entropy:
    """Hands out random bytes, each once. For one process: a fork would hand out the same ones."""

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """`size` bytes that nobody can foresee; at most BLOCK."""
        end = self._at + size
        if end > len(self._block):
            self._block = os.urandom(BLOCK)
            self._at, end = 0, size
        taken = self._block[self._at : end]
        self._at = end
        return taken

    def name(self, size: int) -> str:
        """A name of `size` random bytes, a multiple of 3, in URL-safe base 64: 4 characters for 3 bytes."""
        return urlsafe_b64encode(self.take(size)).decode("ascii")
