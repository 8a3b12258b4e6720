"""A real Chromium, a page with a bell, and a service that keeps inboxes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.demo.conftest import browser as browser
from tests.demo.conftest import driver as driver
from tests.inbox_element.bell import Bell
from tests.inbox_element.service import Service, real_nodes, standin
from tests.inbox_element.web import web_server

USERS = itertools.count(1)
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Who keeps the inboxes: two nodes; INBOX_SERVICE=stand-in takes the small server instead."""
    if os.environ.get("INBOX_SERVICE") == "stand-in":
        with standin() as service:
            yield service
        return
    with real_nodes(tmp_path_factory.mktemp("inbox")) as service:
        yield service


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """The address of the pages."""
    with web_server() as address:
        yield address


@pytest.fixture
def user() -> str:
    """A person whom no other test knows."""
    return f"person-{next(USERS)}"


@pytest.fixture
def context(service: Service, browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-GB")
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, service: Service, site: str, user: str) -> Iterator[Callable[..., Bell]]:
    """Opens the page, as often as one likes. At the end no console may have said anything."""
    bells: list[Bell] = []

    def open_page(**config: object) -> Bell:
        settings = {"url": service.url, "token": service.token(user), **config}
        bell = Bell(context.new_page(), site, settings, axe=AXE)
        bells.append(bell)
        bell.open_page()
        return bell

    yield open_page
    for bell in bells:
        assert bell.complaints == []


@pytest.fixture
def bell(visit: Callable[..., Bell]) -> Bell:
    """One page, connected."""
    bell = visit()
    bell.is_live()
    return bell
