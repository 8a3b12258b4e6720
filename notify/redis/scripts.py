"""Lua that runs inside Redis: one file each, loaded once, called by its hash."""

from __future__ import annotations

import hashlib
from importlib.resources import files


class Script:
    """The text of `lua/<name>.lua` in a package, and the SHA-1 by which Redis knows it.

    `preamble` is another such file that stands before it: Redis has no `require`. A line of flags (`#!lua`)
    stays the first.
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, package: str, name: str, *, preamble: str | None = None) -> None:
        self.name = name
        self.text = _lua(package, name)
        if preamble is not None:
            flags, newline, rest = (
                self.text.partition("\n") if self.text.startswith("#!") else ("", "", self.text)
            )
            self.text = f"{flags}{newline}{_lua(package, preamble)}{rest}"
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _lua(package: str, name: str) -> str:
    return (files(package) / "lua" / f"{name}.lua").read_text("utf-8")


ALL: list[Script] = []


def load(package: str, name: str, *, preamble: str | None = None) -> Script:
    """A package's script of that name; every connection makes it known to Redis."""
    script = Script(package, name, preamble=preamble)
    ALL.append(script)
    return script
