"""The API reference at /docs in a real browser, on a node of the demo: read, searched, tried with a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.demo.service import Demo
from tests.demo.test_screenshots import PLACE

WIDTHS = (320, 768, 1360)
ASKED = (
    "/docs",
    "/docs/reference.css",
    "/docs/styles.js",
    "/docs/scalar.js",
    "/docs/reference.js",
    "/openapi.json",
    "/asyncapi.json",
)


class Reference:
    """The page, what it asked for and what its console said."""

    def __init__(self, page: Page, demo: Demo) -> None:
        self.page = page
        self.node: str = demo.config["api"]["url"]
        self.said: list[str] = []
        self.requests: list[Request] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.on("request", self._requested)

    def open(self, place: str = "") -> None:
        self.page.goto(f"{self.node}/docs{place}")
        expect(self.page.get_by_role("heading", level=1).first).to_be_visible()

    def _requested(self, request: Request) -> None:
        self.requests.append(request)

    def search(self, words: str) -> None:
        self.page.keyboard.press("Control+k")
        expect(self.page.get_by_role("combobox", name="Enter search query")).to_be_focused()
        self.page.keyboard.type(words)


@pytest.fixture
def reference(page_of_its_own: Page, demo: Demo) -> Iterator[Reference]:
    demo.wait_until_alive()
    reference = Reference(page_of_its_own, demo)
    yield reference
    assert reference.said == []
    strangers = [
        each.url for each in reference.requests if not each.url.startswith((reference.node, "data:"))
    ]
    assert strangers == []


@pytest.fixture
def page_of_its_own(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def test_it_loads_and_asks_this_node_alone(reference: Reference) -> None:
    reference.open()
    expect(reference.page.get_by_role("heading", name="Post a notification")).to_be_attached()
    asked = {each.url.removeprefix(reference.node) for each in reference.requests if "data:" not in each.url}
    assert asked <= set(ASKED)
    assert {"/docs", "/docs/scalar.js", "/openapi.json"} <= asked


def test_search_finds_the_inbox(reference: Reference) -> None:
    reference.open()
    reference.search("inbox")
    found = reference.page.get_by_role("dialog").get_by_role("option", name=re.compile("List a user's inbox"))
    expect(found).to_be_visible()
    found.click()
    expect(reference.page).to_have_url(re.compile("listInbox|inbox"))
    expect(reference.page.get_by_role("heading", name="List a user's inbox")).to_be_in_viewport()


def test_it_is_tried_with_a_key_and_the_notification_arrives(
    reference: Reference, demo: Demo, browser: Browser
) -> None:
    page = reference.page
    reference.open()
    page.get_by_label("Bearer Token").first.fill(demo.secrets["api_key"])
    page.get_by_role("button", name=re.compile("Test Request")).first.click()
    dialog = page.get_by_role("dialog")
    with page.expect_response("**/v1/notifications") as answered:
        dialog.get_by_role("button", name=re.compile("^Send")).first.click()
    assert answered.value.status == 202
    expect(dialog.get_by_text("202 Accepted")).to_be_visible()
    expect(dialog.get_by_text(re.compile("ntf_")).first).to_be_visible()
    # It was a real one: the inbox of the user in the example has it.
    sent = answered.value.json()["id"]
    inbox = page.request.get(
        f"{reference.node}/v1/users/42/inbox",
        headers={"Authorization": f"Bearer {demo.secrets['api_key']}"},
    ).json()
    assert sent in [entry["id"] for entry in inbox["data"]]


def test_without_a_key_it_says_so(reference: Reference) -> None:
    page = reference.page
    reference.open()
    page.get_by_role("button", name=re.compile("Test Request")).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("^Send")).first.click()
    expect(dialog.get_by_text("401 Unauthorized")).to_be_visible()
    # Chromium logs every answer of 401 itself.
    assert [line for line in reference.said if "401" not in line] == []
    reference.said.clear()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("curl", "--fail-with-body"),
        ("Python", "from notify_client import Notify"),
        ("JavaScript", "await fetch("),
    ],
)
def test_samples_are_in_three_languages(reference: Reference, label: str, words: str) -> None:
    page = reference.page
    reference.open()
    operation = page.locator("section", has=page.get_by_role("heading", name="Post a notification")).last
    operation.scroll_into_view_if_needed()
    operation.get_by_role("button", name="curl").first.click()
    page.get_by_role("option", name=label, exact=True).click()
    expect(operation.locator("pre").first).to_contain_text(words)


def test_the_events_are_on_it_too(reference: Reference) -> None:
    page = reference.page
    reference.open()
    page.get_by_role("button", name="HTTP API").click()
    page.get_by_role("option", name="Events").click()
    expect(page.get_by_role("heading", name="notify events")).to_be_visible()
    expect(page.get_by_text("AsyncAPI 3.0.0")).to_be_visible()
    page.get_by_text("Namespace /", exact=True).first.click()
    expect(page.get_by_text("inbox:changed").first).to_be_visible()
    reference.search("inbox")
    expect(page.get_by_role("dialog")).to_contain_text("inbox:list")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_follows_the_colour_scheme(
    reference: Reference, scheme: Literal["light", "dark"]
) -> None:
    page = reference.page
    page.emulate_media(color_scheme=scheme)
    PLACE.mkdir(parents=True, exist_ok=True)
    for place, name in (("#http/tag/notifications/POST/v1/notifications", "http"), ("#events", "events")):
        page.goto("about:blank")
        reference.open(place)
        expect(page.locator("body")).to_have_class(re.compile(f"{scheme}-mode"))
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert wide[0] <= wide[1], wide
            page.screenshot(path=PLACE / f"reference-{name}-{width}-{scheme}.png")
