"""Whatever a node logs at warning or above stands in docs/operations.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.blocks import ROOT

LEVELS = {"warning", "error", "exception", "critical"}
NOT_LITERAL = {
    "finding.code": {"no_append_only", "info_forbidden"},  # store/checks.py
    "event": {"waiting_for_redis"},  # ops/patience.py
}


def logged() -> Iterator[tuple[str, ast.expr]]:
    """Where something is logged, and as what. Commands write for whoever runs them."""
    for file in sorted((ROOT / "notify").rglob("*.py")):
        if (ROOT / "notify" / "cli") in file.parents:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            logger = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
            if node.func.attr in LEVELS and logger in {"log", "logger", "journal"}:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node.args[0]


def patterns(event: ast.expr) -> set[str]:
    """The names that an event may have, as patterns."""
    if isinstance(event, ast.Constant):
        return {re.escape(str(event.value))}
    if isinstance(event, ast.JoinedStr):
        return {
            "".join(
                re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+"
                for part in event.values
            )
        }
    return NOT_LITERAL[ast.unparse(event)]


def test_every_warning_and_error_is_explained() -> None:
    rows = re.findall(
        r"^\| (`.+?`) \| [a-z, ]+ \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE
    )
    known = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    found = list(logged())
    assert len(found) > 50
    missing = [
        f"{where}: {pattern}"
        for where, event in found
        for pattern in sorted(patterns(event))
        if not any(re.fullmatch(pattern, name) for name in known)
    ]
    assert missing == []
