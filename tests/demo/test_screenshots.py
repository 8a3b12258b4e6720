"""Pictures for a reviewer's eyes, in build/screenshots; `make screenshots` renews docs/screenshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.demo.screen import Screen
from tests.demo.service import ROOT, Demo

PLACE = Path(os.environ.get("DEMO_SCREENSHOTS", ROOT / "build" / "screenshots"))
LARGEST = 300_000


def lived_in(screen: Screen) -> None:
    """A page that has seen some use: a recovery, a hammering, a room, messages, toasts."""
    ada, bo = screen.ada, screen.bo
    screen.page.get_by_role("button", name="Hammer 1,000").click()
    expect(screen.page.locator(".verdict").nth(1)).to_have_text(
        "All 1,000, in order, none twice.", timeout=30_000
    )
    for person in (ada, bo):
        person.bell.click()
        person.join("project:apollo")
    ada.say("Bo", "Are you on the other node?")
    expect(bo.messages).to_have_count(1)
    bo.say("project:apollo", "I am. Hello, room.")
    expect(ada.messages).to_have_count(2)
    screen.page.get_by_role("button", name="Comment", exact=True).click()
    screen.page.get_by_role("button", name="Post", exact=True).click()
    expect(ada.count).to_have_text("1")
    ada.button("Cut my connection").click()
    expect(ada.badge).to_have_text("recovered: true, 3 missed", timeout=20_000)
    expect(ada.count).to_have_text("4")
    ada.button("Dismiss all").click()
    screen.page.get_by_label("To", exact=True).select_option(label="Bo")
    screen.page.get_by_role("button", name="Build", exact=True).click()
    screen.page.get_by_role("button", name="Post", exact=True).click()
    expect(bo.toasts.last).to_contain_text("Build failed")
    expect(screen.answer()).to_contain_text("Accepted")
    screen.page.evaluate("document.activeElement.blur()")


@pytest.fixture
def still(browser: Browser, demo: Demo) -> Iterator[Screen]:
    demo.wait_until_alive()
    context = browser.new_context(
        viewport={"width": 1360, "height": 1360},
        color_scheme="light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    screen = Screen(context.new_page(), demo)
    screen.open()
    yield screen
    context.close()


def take(screen: Screen, name: str) -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    picture = PLACE / f"{name}.png"
    screen.no_sideways_scroll()
    screen.page.screenshot(path=picture)
    assert 10_000 < picture.stat().st_size < LARGEST


def test_pictures(still: Screen) -> None:
    page = still.page
    page.set_viewport_size({"width": 360, "height": 780})
    take(still, "phone-360-first-sight")
    page.set_viewport_size({"width": 1360, "height": 1360})
    lived_in(still)
    take(still, "desktop-light")
    page.emulate_media(color_scheme="dark")
    take(still, "desktop-dark")
    page.set_viewport_size({"width": 360, "height": 780})
    still.ada.card.evaluate("element => scrollTo(0, element.offsetTop - 12)")
    take(still, "phone-360-dark")
    page.emulate_media(color_scheme="light")
    take(still, "phone-360-light")
