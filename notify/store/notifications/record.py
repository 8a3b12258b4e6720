r"""The record of a notification, as it stands in Redis: what is known of it once it was accepted.

    2 <recipients> <created> <expires>\n<user, when it is one>\n<elsewhere>\n["notification",{...}

Times are unix ms; `expires` is 0 for what was scheduled and is ephemeral. `elsewhere` is a JSON array of the
addresses of those channels of the target that have no inbox, or empty. The argument array has no end. A
record without one is of a notification that nobody has any more: then the user is gone from it as well.
Version 1 was `1 <recipients>`, the user, the array, and is understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from notify.domain.channel import Channel

VERSION = b"2"
_HEADERS = {b"1": re.compile(rb"1 [^\n]*\n[^\n]*\n"), VERSION: re.compile(rb"2 [^\n]*\n[^\n]*\n[^\n]*\n")}


@dataclass(slots=True)  # not frozen, like the entry that it goes with
class NewRecord:
    """What a message tells of its notification. `recipients` are the users it was for, `elsewhere` the
    channels that have no inbox.

    `partial`: it is one of several pieces, or comes later than it was accepted; so it may have been retracted
    before it is published, and then is not. Of several pieces without inboxes only the first is `kept`.
    """

    id: str
    recipients: int
    created_ms: int
    elsewhere: Sequence[Channel] = ()
    partial: bool = False
    kept: bool = True

    def head(self, user: str, expires_ms: int) -> bytes:
        """The first three lines, empty when nothing is to be written."""
        if not self.kept:
            return b""
        addresses = orjson.dumps([channel.address for channel in self.elsewhere]) if self.elsewhere else b""
        first = f"2 {self.recipients} {self.created_ms} {expires_ms}\n{user}\n"
        return first.encode() + addresses + b"\n"


class Record(NamedTuple):
    """A record taken apart. `created_ms` and `expires_ms` are None in version 1, `user` is empty when it is
    not one, or has let go of it; `array` is empty when nobody has the notification any more.
    """

    recipients: int
    created_ms: int | None
    expires_ms: int | None
    user: str
    array: bytes

    @classmethod
    def parse(cls, stored: bytes) -> Record:
        """Take it apart. Raises ValueError when it is none of ours."""
        first, _, rest = stored.partition(b"\n")
        version, *numbers = first.split(b" ")
        user, _, rest = rest.partition(b"\n")
        if version == b"1":
            (recipients,) = map(int, numbers)
            return cls(recipients, None, None, user.decode(), rest)
        if version != VERSION:
            raise ValueError(f"a record of version {version!r}")
        recipients, created_ms, expires_ms = map(int, numbers)
        return cls(recipients, created_ms, expires_ms, user.decode(), rest.partition(b"\n")[2])

    @property
    def shown(self) -> Mapping[str, Any]:
        """The notification as clients get it; nothing when it is gone."""
        found: Mapping[str, Any] = orjson.loads(self.array + b"]")[1] if self.array else {}
        return found


def header(stored: bytes) -> bytes | None:
    """The lines before the array; None when they are not all there."""
    form = _HEADERS.get(stored[:1])
    found = form.match(stored) if form is not None else None
    return found[0] if found else None


def without(head: bytes, is_own: Callable[[str], bool], user: str) -> tuple[bytes, bool]:
    """The header without a user and the channels that are theirs; and whether it was for nobody else."""
    lines = head.split(b"\n")
    if len(lines) < 3:
        return head, False
    named = lines[1] == user.encode()
    addresses: list[str] = orjson.loads(lines[2]) if lines[2] else []
    others = [address for address in addresses if not is_own(address)]
    if not named and len(others) == len(addresses):
        return head, False
    if named:
        lines[1] = b""
    if len(others) < len(addresses):
        lines[2] = orjson.dumps(others) if others else b""
    return b"\n".join(lines), not others and not lines[1]
