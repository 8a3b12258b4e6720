"""What a token allows: rooms to join and to send to, as patterns."""

from __future__ import annotations

from collections.abc import Sequence


def allows(patterns: Sequence[str], name: str) -> bool:
    """True when one of the patterns covers `name`.

    A pattern is a name, or a beginning and a final `*` (`project:*` covers `project:7`); `*` alone covers
    everything. No other character is special. No room's name ends with `*` (see `names`), so each can be
    granted exactly.
    """
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )


def may_send(patterns: Sequence[str], kind: str, name: str) -> bool:
    """True when the patterns cover a `user` or a `room` as the receiver of a client's message.

    Patterns say which they mean (`user:42`, `room:project:*`); without that they mean rooms, so that `user*`
    are the rooms beginning with `user` and no users. `*` is everyone.
    """
    for pattern in patterns:
        if pattern == "*":
            return True
        meant, _, rest = pattern.partition(":")
        if meant not in ("user", "room") or ":" not in pattern:
            meant, rest = "room", pattern
        if meant == kind and allows((rest,), name):
            return True
    return False
