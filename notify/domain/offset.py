"""A position in the total order of everything published."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

_FORM = re.compile(r"([0-9A-Za-z]{1,32})-([0-9]{1,15})-([0-9]{1,15})")
"""As `publish.lua` writes them. Fifteen digits are exact in Lua too, and nothing that Redis would refuse."""


class Offset(NamedTuple):
    """`<epoch>-<ms>-<seq>`: opaque to clients, ordered inside one epoch.

    The epoch changes only when Redis lost its data; offsets of two epochs cannot be compared, so `follows`
    is the comparison to use where the epochs may differ.
    """

    epoch: str
    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.ms}-{self.seq}"

    @property
    def entry(self) -> str:
        """The offset as a Redis stream entry id, inside its epoch."""
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, text: object) -> Offset | None:
        """The offset that `text` stands for, or None: clients send us whatever a handler left there."""
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None
        epoch, ms, seq = found.groups()
        return cls(sys.intern(epoch), int(ms), int(seq))

    def follows(self, other: Offset) -> bool:
        """True when both are of one epoch and this one comes later."""
        return self.epoch == other.epoch and (self.ms, self.seq) > (other.ms, other.seq)
