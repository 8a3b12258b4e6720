"""What a type checker tells an application that uses the client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APPLICATION = """\
from datetime import datetime

from notify_client import AsyncNotify, Notify, NotifyError, Outcome, Sent, tokens


def fine(notify: Notify) -> datetime | None:
    sent: Sent = notify.send(to={"user": "ada"}, title="Hello", data={"n": 1}, idempotency_key="k")
    outcomes: list[Outcome] = notify.send_many([{"to": {"room": "lobby"}, "ttl": 0}])
    first: NotifyError | None = outcomes[0].error
    print(first, notify.inbox("ada").mark("read", up_to=sent.id).counts.unread, tokens.sign("s" * 32, "ada"))
    return notify.presence("ada").last_seen


async def fine_too(notify: AsyncNotify) -> int:
    return (await notify.rooms.add("lobby", "ada")).connections


def wrong(notify: Notify) -> None:
    notify.send(title="for nobody")
    notify.send(to={"user": "ada"}, titel="typo")
    notify.send(to={"usr": "ada"})
    notify.send(to={"user": "ada"}, priority="highest")
    notify.inbox("ada").mark("opened")
    notify.send_many([{"title": "for nobody"}])
    notify.send(to={"user": "ada"}).id = "another"
"""


def test_a_checker_in_strict_mode_finds_what_is_wrong_and_nothing_else(tmp_path: Path):
    file = tmp_path / "application.py"
    file.write_text(APPLICATION)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), file.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    first = APPLICATION.splitlines().index('    notify.send(title="for nobody")') + 1
    assert found == set(range(first, first + 7)), done.stdout + done.stderr
