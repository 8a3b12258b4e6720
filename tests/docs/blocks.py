"""The code blocks of the documents. What is done with one stands behind its language, in its first line.

    run       it is executed and must succeed
    listen    it is executed, and must print the title of a notification that is posted to Ada meanwhile
    shown     it is not executed, but what it names must exist
    json      (a language) it must be JSON

Blocks with any other mark are run by the tests of client-demo (`tests/demo/snippets.test.mjs`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "client-demo" / "README.md",
    ROOT / "client-demo" / "python" / "README.md",
)
_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, what is done with it, and its text."""

    document: str
    line: int
    language: str
    mark: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks() -> list[Block]:
    """All of them, in order."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in _BLOCK.finditer(text):
            language, _, mark = match["info"].partition(" ")
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(str(document.relative_to(ROOT)), line, language, mark, match["code"]))
    return found
