"""A position in the total order of everything published."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

_FORM = re.compile(r"([0-9A-Za-z]{1,32})-([0-9]{1,15})-([0-9]{1,15})")
"""As `publish.lua` writes them. Fifteen digits are exact in Lua too, and nothing that Redis would refuse."""
_MAX_DIGITS = 15
_MAX_EPOCHS = 16
_epochs: dict[bytes, str] = {}
"""Epochs that were found good: there is one as a rule, and every message names it."""


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

    @classmethod
    def read(cls, raw: bytes) -> Offset:
        """The offset at the head of a message: what `parse` finds, for a third of its cost.

        Raises ValueError for what is none.
        """
        epoch, ms, seq = raw.split(b"-")
        known = _epochs.get(epoch)
        if (
            known is not None
            and len(ms) <= _MAX_DIGITS
            and len(seq) <= _MAX_DIGITS
            and ms.isdigit()
            and seq.isdigit()
        ):
            return tuple.__new__(cls, (known, int(ms), int(seq)))
        found = cls.parse(raw.decode())
        if found is None:
            raise ValueError("not an offset")
        if len(_epochs) >= _MAX_EPOCHS:
            _epochs.clear()
        _epochs[epoch] = found.epoch
        return found

    def follows(self, other: Offset) -> bool:
        """True when both are of one epoch and this one comes later."""
        return self.epoch == other.epoch and (self.ms, self.seq) > (other.ms, other.seq)
