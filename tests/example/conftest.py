"""The example application as its README starts it, beside two nodes, and people with browsers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from notify.embedded.child import with_parent_death_signal
from tests.demo.conftest import chromium
from tests.support.cluster import Cluster
from tests.support.ports import free_port
from tests.support.tokens import API_KEY, JWT_SECRET

EXAMPLE = Path(__file__).resolve().parents[2] / "client-demo" / "example"
STARTED_S = 30
_THREAD = ThreadPoolExecutor(1)
"""One for all: nodes end with the thread that started them."""

Person = Callable[[str], Page]


def apart(work: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop in another thread: Playwright's is running in this one."""
    _THREAD.submit(asyncio.run, work).result()


class Example:
    """The running application (`url`) and the nodes behind it (`cluster`)."""

    def __init__(self, url: str, cluster: Cluster) -> None:
        self.url = url
        self.cluster = cluster


@pytest.fixture(scope="package")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    directory = tmp_path_factory.mktemp("example")
    port = free_port()
    url = f"http://localhost:{port}"
    subprocess.run(["npm", "run", "--silent", "build"], cwd=EXAMPLE, check=True, timeout=120)
    cluster = Cluster(2, directory=directory, environ={"NOTIFY_CORS_ORIGINS": url})
    try:
        apart(cluster.start())
        with _application(port, url, cluster, directory / "application.log"):
            yield Example(url, cluster)
    finally:
        apart(cluster.stop())


@contextmanager
def _application(port: int, url: str, cluster: Cluster, log: Path) -> Iterator[None]:
    first, second = cluster.nodes
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NOTIFY_")},
        "NOTIFY_URL": first.internal_url,
        "NOTIFY_API_KEY": API_KEY,
        "NOTIFY_JWT_SECRET": JWT_SECRET,
        "CLIENTS_URL": second.url,
    }
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            with_parent_death_signal(command, by=signal.SIGKILL),
            cwd=EXAMPLE, env=environ, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until = time.monotonic() + STARTED_S
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.terminate()
        process.wait(15)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("NO BROWSER: chromium is not installed and could not be; the example was NOT tested")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def person(browser: Browser, example: Example) -> Iterator[Person]:
    """`person("ada")`: her page, signed in and live. Nothing may go wrong in its console."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def sign_in(name: str) -> Page:
            context = browser.new_context(viewport={"width": 1100, "height": 800})
            stack.callback(context.close)
            context.set_default_timeout(30_000)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
            page.goto(example.url)
            page.get_by_label("Your name").fill(name)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_text("live", exact=True)).to_be_visible()
            return page

        yield sign_in
    # What a browser says itself of answers and connections that the tests are about.
    expected = ("401", "422", "ERR_CONNECTION", "WebSocket connection")
    assert [each for each in complaints if not any(word in each for word in expected)] == []
