"""Lua that runs inside Redis: one file each, loaded once, called by its hash."""

from __future__ import annotations

import hashlib
from importlib.resources import files


class Script:
    """The text of `lua/<name>.lua` and the SHA-1 by which Redis knows it."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (files("notify.store") / "lua" / f"{name}.lua").read_text("utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


ALL: list[Script] = []


def load(name: str) -> Script:
    """The script of that name, entered in the list of those that a connection makes known to Redis."""
    script = Script(name)
    ALL.append(script)
    return script
