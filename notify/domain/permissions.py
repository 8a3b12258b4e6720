"""What a token allows: rooms to join and to send to, as patterns."""

from __future__ import annotations

from collections.abc import Sequence


def allows(patterns: Sequence[str], name: str) -> bool:
    """True when one of the patterns covers `name`.

    A pattern is a name, or a beginning and a final `*` (`project:*` covers `project:7`); `*` alone covers
    everything. No other character is special, so a name can always be granted exactly.
    """
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )


def may_send(patterns: Sequence[str], kind: str, name: str) -> bool:
    """True when the patterns cover a `user` or a `room` as the receiver of a client's message.

    Patterns say which they mean (`user:42`, `room:project:*`); without that they mean rooms. `*` is everyone.
    """
    if allows(patterns, f"{kind}:{name}"):
        return True
    plain = [pattern for pattern in patterns if not pattern.startswith(("user:", "room:"))]
    return kind == "room" and allows(plain, name)
