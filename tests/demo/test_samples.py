"""The samples of client-demo: the code blocks of its README and the two programs for a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.demo.service import ROOT, Demo

WAIT_S = 30


def test_the_snippets_of_the_readme_run(demo: Demo) -> None:
    environment = {
        **os.environ,
        "NOTIFY_URL": demo.node_of("ada")["url"],
        "NOTIFY_TOKEN": demo.person("ada")["token"],
        "NOTIFY_USER": "ada",
        "NOTIFY_POST": demo.page + "api/notifications",
    }
    command = ["node", "--test", "--test-force-exit", "tests/demo/snippets.test.mjs"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Program:
    """A sample that runs; `lines` are what it has printed, to either stream."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def prints(self, text: str) -> bool:
        until = time.monotonic() + WAIT_S
        while not any(text in line for line in self.lines):
            if time.monotonic() > until or self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True


@contextmanager
def sample(*command: str) -> Iterator[Program]:
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        program = Program(process)
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: program.lines.extend(process.stdout or []), daemon=True)
        reader.start()
        try:
            yield program
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)
            reader.join(WAIT_S)


SAMPLES = {
    "listen.mjs": ("node", "client-demo/listen.mjs"),
    "listen.py": (sys.executable, "client-demo/listen.py"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_prints_what_comes_and_ends_on_ctrl_c(demo: Demo, name: str) -> None:
    demo.wait_until_alive()
    node, person = demo.node_of("bo"), demo.person("bo")
    with sample(*SAMPLES[name], "--url", node["url"], "--token", person["token"]) as program:
        assert program.prints(f"# bo on {node['id']}"), program.lines
        demo.post({"to": {"user": "bo"}, "title": "To the terminal", "body": "with \x1b[31mred\x1b[0m"})
        assert program.prints("To the terminal"), program.lines
        assert not any("\x1b" in line for line in program.lines)
    assert program.process.returncode == 0
    assert not any("Traceback" in line for line in program.lines), program.lines


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_says_that_it_wants_a_token(name: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_TOKEN"}
    done = subprocess.run(
        SAMPLES[name], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "token" in done.stderr


def test_listen_mjs_stays_in_its_room(demo: Demo) -> None:
    demo.wait_until_alive()
    node, person = demo.node_of("bo"), demo.person("bo")
    room = "project:apollo"
    where = ("--url", node["url"], "--token", person["token"], "--room", room)
    with sample(*SAMPLES["listen.mjs"], *where) as program:
        assert program.prints(f"# joined {room}"), program.lines
        demo.post({"to": {"room": room}, "title": "To the room", "priority": "high"})
        assert program.prints("[high]  To the room"), program.lines
