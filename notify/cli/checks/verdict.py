"""What a check found, as a sentence for the person who asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok`; `warning`, which may be intended; or `fault`: it does not work, or is not safe."""

    severity: Severity
    sentence: str


def ok(sentence: str) -> Verdict:
    """All is well."""
    return Verdict("ok", sentence)


def warning(sentence: str) -> Verdict:
    """It may be intended."""
    return Verdict("warning", sentence)


def fault(sentence: str) -> Verdict:
    """It does not work, or is not safe."""
    return Verdict("fault", sentence)
