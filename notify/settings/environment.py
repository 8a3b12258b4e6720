"""The variables of a process: those that are ours, read from files where they name one, and misspelt ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import environs

PREFIX = "NOTIFY_"
CLIENT_SIDE = frozenset({"NOTIFY_API_KEY", "NOTIFY_TOKEN", "NOTIFY_URL"})
"""Read by `notify send` and `notify listen`, so no mistake in the environment of a server."""
FROM_FILES = ("NOTIFY_REDIS_URL", "NOTIFY_JWT_SECRET", "NOTIFY_JWT_PUBLIC_KEY", "NOTIFY_API_KEYS")
"""May also be set as `<name>_FILE`, the way Docker and Kubernetes mount secrets."""

# Kubernetes and Docker links put these into every container beside a Service called "notify".
_SERVICE_LINK = re.compile(
    r"NOTIFY_(.*_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)|NOTIFY_.+_PORT"
)
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://\S+:\d+")


class Environment(environs.Env):
    """An `Env` over a mapping that is handed in instead of the process's own."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(eager=False, prefix=PREFIX)
        self._given = given

    def value(self, name: str, default: Any, *, read: str, check: Any, parse: Any, **_: Any) -> Any:
        """The value, or the default when it is not set. What is wrong is gathered for `seal`."""
        if PREFIX + name not in self._given:
            return default
        if parse is None:
            return getattr(self, read)(name, validate=check)
        self.add_parser(f"of_{name}", parse)
        return getattr(self, f"of_{name}")(name)

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key, default)


def with_files(given: Mapping[str, str], problems: dict[str, list[str]]) -> dict[str, str]:
    """The variables, with those that name a file (`NOTIFY_JWT_SECRET_FILE`) replaced by what is in it."""
    found = dict(given)
    for name in FROM_FILES:
        path = found.pop(name + "_FILE", None)
        if path is None:
            continue
        if name in found:
            problems.setdefault(name, []).append(f"Set this or {name}_FILE, not both.")
            continue
        try:
            found[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.setdefault(name + "_FILE", []).append(f"The file cannot be read: {error}")
    for name in ("NOTIFY_PORT", "NOTIFY_INTERNAL_PORT"):
        if _LINK_VALUE.fullmatch(found.get(name, "")):
            del found[name]
            problems.setdefault(name, []).append(
                "Kubernetes sets this for a Service called notify; it is not a port. Put "
                "`enableServiceLinks: false` into the pod's spec, or set the variable yourself."
            )
    return found


def unknown(given: Mapping[str, str], known: list[str]) -> dict[str, list[str]]:
    """Names that are not settings, each with the setting that was probably meant."""
    problems: dict[str, list[str]] = {}
    for name in sorted(set(given) - set(known) - {name + "_FILE" for name in FROM_FILES} - CLIENT_SIDE):
        if _SERVICE_LINK.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        hint = f" Did you mean {near[0]}?" if near else " `notify settings` shows them all."
        problems[name] = ["There is no such setting." + hint]
    return problems
