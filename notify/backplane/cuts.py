"""Places in the stream of everything published at which one node hands a member over to another.

A cut is published on the topics of both nodes in one step. So both hear it at the same place of the one order
in which Redis publishes: what came before it is one node's to deliver, what comes after it the other's.
"""

from __future__ import annotations

from collections.abc import Callable

HEAD = b"cut "


class Cuts:
    """The cuts that this node waits for. Their tokens are secrets of those who take part."""

    __slots__ = ("_actions",)

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[], None]] = {}

    def expect(self, token: str, action: Callable[[], None]) -> None:
        """Run `action` at that place: after everything before it was handed on, before anything behind it."""
        self._actions[token] = action

    def forget(self, token: str) -> None:
        """Do not wait for it any longer."""
        self._actions.pop(token, None)

    def hear(self, payload: bytes) -> None:
        """One has come. One that nobody waits for is ignored."""
        action = self._actions.pop(payload[len(HEAD) :].decode(), None)
        if action is not None:
            action()

    def __len__(self) -> int:
        return len(self._actions)
