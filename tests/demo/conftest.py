"""A real Chromium on a real demo. The driver is PyPI's playwright, the browser is the system's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.demo.screen import Screen
from tests.demo.service import Demo, running_demo

# A busy machine draws late.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Where the browser is: DEMO_CHROMIUM, or the usual names on the PATH."""
    return os.environ.get("DEMO_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture(scope="package")
def driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="package")
def browser(driver: Playwright) -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("NO BROWSER: chromium is not installed and could not be; the demo page was NOT tested")
    browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def screen(context: BrowserContext, demo: Demo) -> Iterator[Screen]:
    """The page, both people live on their nodes; afterwards nothing may have gone wrong in its console."""
    demo.wait_until_alive()
    demo.empty_inboxes()
    screen = Screen(context.new_page(), demo)
    screen.open()
    yield screen
    assert screen.complaints == []


@pytest.fixture
def page(screen: Screen) -> Page:
    return screen.page


@pytest.fixture(scope="session")
def screenshots() -> Path:
    return Path(__file__).resolve().parents[2] / "docs" / "screenshots"
