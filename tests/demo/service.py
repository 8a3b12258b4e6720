"""`notify dev` as the tests run it: two nodes, a Valkey and the demo page, in a directory of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 40
STOP_S = 15


@dataclass
class Demo:
    """A running demo. `page` is its URL, `printed` what it has said so far."""

    page: str
    directory: Path = ROOT / ".notify" / "dev"
    config: dict[str, Any] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)

    def person(self, name: str) -> dict[str, Any]:
        return next(person for person in self.config["people"] if person["id"] == name)

    def node_of(self, name: str) -> dict[str, Any]:
        return next(node for node in self.config["nodes"] if node["id"] == self.person(name)["node"])

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.page + path, timeout=5) as answer:
            return json.load(answer)

    @property
    def secrets(self) -> dict[str, str]:
        """`jwt_secret` and `api_key`, as `notify dev` keeps them."""
        kept: dict[str, str] = json.loads((self.directory / "dev-secrets.json").read_text())
        return kept

    def post(self, body: dict[str, Any], path: str = "api/notifications") -> Any:
        request = urllib.request.Request(
            self.page + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Asks the API of a node, as a backend does."""
        request = urllib.request.Request(
            self.config["api"]["url"] + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.secrets['api_key']}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def empty_inboxes(self) -> None:
        """Everybody begins with nothing, whatever the test before has left."""
        for person in self.config["people"]:
            inbox = f"/v1/users/{person['id']}/inbox"
            rev = self.call("GET", f"{inbox}?limit=0")["rev"]
            self.call("POST", f"{inbox}/mark", {"as": "deleted", "up_to": rev})

    def all_alive(self) -> bool:
        answer = self.get("nodes")
        nodes = answer if isinstance(answer, list) else answer["nodes"]
        return all(node["alive"] for node in nodes)

    def wait_until_alive(self) -> None:
        """Returns when every node is up again after what a test did to it."""
        until = time.monotonic() + START_S
        while not self.all_alive():
            assert time.monotonic() < until, "a node did not come back"
            time.sleep(0.1)


@contextmanager
def running_demo(directory: Path) -> Iterator[Demo]:
    """Starts `notify dev` and ends it as Ctrl-C does. DEMO_URL names one that runs already."""
    if url := os.environ.get("DEMO_URL"):
        demo = Demo(url)
        demo.config = demo.get("config.json")
        yield demo
        return
    command = [sys.executable, "-m", "notify", "dev", "--data-dir", str(directory)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_")}
    with subprocess.Popen(
        command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        printed: list[str] = []
        reader = threading.Thread(target=_read, args=(process, printed), daemon=True)
        reader.start()
        try:
            demo = Demo(_page(process, printed), directory, printed=printed)
            demo.config = demo.get("config.json")
            yield demo
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            reader.join(STOP_S)


def _read(process: subprocess.Popen[str], printed: list[str]) -> None:
    assert process.stdout is not None
    printed.extend(iter(process.stdout.readline, ""))


def _page(process: subprocess.Popen[str], printed: list[str]) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"https?://\S+/demo/", "".join(printed)):
            return found.group()
        time.sleep(0.05)
    raise AssertionError("notify dev printed no URL of the demo:\n" + "".join(printed))
