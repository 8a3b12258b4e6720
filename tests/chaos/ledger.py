"""Follows what is published of one inbox, change by change, and says where it is not what the model does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from notify.domain.inbox import Counts
from notify.domain.message import Message
from notify.domain.moments import parsed
from tests.store.inbox_model import ModelEntry, ModelInbox, taken_apart

Told = list[tuple[Any, ...]]


class Drift(Exception):
    """The inbox is not what it ought to be."""


@dataclass
class Step:
    """What somebody asked for. `work(model, now_ms)` does it to the model, and says what is told of it."""

    what: str
    work: Callable[[ModelInbox, int], Told]
    entry: ModelEntry | None = None
    done: bool = False


@dataclass
class Ledger:
    """The model of one inbox. It is moved by what was published, at the time that the offset says."""

    user: str
    model: ModelInbox
    late_ms: list[int] = field(default_factory=list)
    """How long after it was due each thing happened that nobody asked for."""
    _heard: deque[bytes] = field(default_factory=deque)
    _steps: deque[Step] = field(default_factory=deque)
    _expected: deque[tuple[Any, ...]] = field(default_factory=deque)
    _told: deque[str] = field(default_factory=lambda: deque(maxlen=30))

    def hear(self, payload: bytes) -> None:
        """Something was published on the user's topic."""
        self._heard.append(payload)

    def expect(self, *steps: Step) -> None:
        """Somebody has asked for these, in this order, and was answered."""
        self._steps.extend(steps)

    @property
    def idle(self) -> bool:
        """Nothing of what was asked for is still to be heard of."""
        return not self._steps and not self._expected

    @property
    def due_ms(self) -> int | None:
        """When something is next due."""
        return min(
            (
                min(entry.expires_ms, entry.snoozed_until_ms or entry.expires_ms)
                for entry in self.model.entries.values()
            ),
            default=None,
        )

    def advance(self, rev: int | None = None) -> None:
        """Take in what was heard, up to a rev if one is given. Raises Drift."""
        while self._heard and (rev is None or self._expected or self.model.rev < rev):
            self._next(Message(self._heard.popleft()))

    def evaluate(self, step: Step) -> None:
        """A step that has changed nothing: the model must say so too. Raises Drift."""
        self._steps.remove(step)
        self._apply(step, 0)
        if self._expected:
            raise Drift(self._report(f"{step.what} told nothing, not {self._expected}"))

    def compare(self, rev: int, counts: dict[str, int], where: str) -> None:
        """What somebody was told of it. Raises Drift."""
        if (self.model.rev, self.model.counts) != (rev, Counts(**counts)):
            raise Drift(self._report(f"{where} says rev {rev}, {counts}"))

    def compare_list(self, status: str, ids: list[str], where: str) -> None:
        """What somebody lists. Raises Drift."""
        if ids != self.model.listed(status):
            raise Drift(self._report(f"{where} lists {status} {ids}, not {self.model.listed(status)}"))

    def drift(self, what: str) -> Drift:
        """An error that says where the inbox stands."""
        return Drift(self._report(what))

    def _next(self, message: Message) -> None:
        event, said, _ = orjson.loads(message.array)
        self._told.append(f"{message.offset} {event} {said}")
        if event == "inbox:changed" and said["as"] == "reset":
            self.compare(said["rev"], said["counts"], "a reset")
            return
        at_ms = message.offset.ms
        if event == "notification":
            self._check_expiry(said)
        if event == "notification" and "inbox" not in said:
            step = self._steps.popleft() if self._steps else None
            if step is None or step.entry is None or step.entry.id != said["id"]:
                raise Drift(self._report("a notification that is in no inbox"))
            if step.entry.expires_ms > at_ms:
                raise Drift(self._report("a notification that should be in the inbox"))
            step.done = True
            return
        if not self._expected:
            due_ms = self.due_ms
            self._expected.extend(self.model.sweep(at_ms))
            if self._expected and due_ms is not None:
                self.late_ms.append(at_ms - due_ms)
        if not self._expected and self._steps:
            self._apply(self._steps.popleft(), at_ms)
        expected = self._expected.popleft() if self._expected else None
        if taken_apart(event, said) != expected:
            raise Drift(self._report(f"expected {expected}"))
        if event == "notification":
            self.model.entries[said["id"]].expires_ms = parsed(said["expires_at"]) or 0

    def _check_expiry(self, said: dict[str, Any]) -> None:
        """The answers to single posts say when they expire; those to batches do not."""
        known = [step.entry for step in self._steps if step.entry is not None]
        for entry in [*known, *self.model.entries.values()]:
            if entry.id == said["id"] and entry.expires_ms not in (0, parsed(said["expires_at"])):
                raise Drift(self._report(f"{entry} is said to expire at {said['expires_at']}"))

    def _apply(self, step: Step, now_ms: int) -> None:
        self._expected.extend(step.work(self.model, now_ms))
        step.done = True

    def _report(self, what: str) -> str:
        entries = "\n  ".join(map(repr, self.model.entries.values()))
        told = "\n  ".join(self._told)
        steps = [step.what for step in self._steps]
        return (
            f"{self.user}: {what}\nmodel: rev {self.model.rev}, {self.model.counts}\n  {entries}\n"
            f"to come: {steps}, {list(self._expected)}\ntold, the newest last:\n  {told}"
        )
