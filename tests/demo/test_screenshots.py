"""Pictures for a reviewer's eyes, in build/screenshots; `make screenshots` renews docs/screenshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.demo.screen import Person, Screen
from tests.demo.service import ROOT, Demo

PLACE = Path(os.environ.get("DEMO_SCREENSHOTS", ROOT / "build" / "screenshots"))
LARGEST = 300_000
DESKTOP: ViewportSize = {"width": 1360, "height": 900}
TABLET: ViewportSize = {"width": 768, "height": 1024}
PHONE: ViewportSize = {"width": 320, "height": 640}
EARLIER: list[tuple[str, dict[str, str]]] = [
    ("Your week in numbers", {"body": "14 reviews, 3 releases", "category": "digest"}),
    ("Grace commented", {"body": "“Shall we ship it today?”", "category": "comment"}),
    ("Release 2.4 is out", {"body": "31 changes, none of them breaking", "category": "ci"}),
]


def lived_in(screen: Screen) -> None:
    """A page that has seen some use: things read, a hammering, messages, a recovery, an open inbox."""
    page, ada, bo = screen.page, screen.ada, screen.bo
    for title, fields in EARLIER:
        screen.demo.post({"to": {"users": ["ada", "bo"]}, "title": title, "priority": "low", **fields})
    expect(ada.items).to_have_count(len(EARLIER))
    for person in (ada, bo):
        person.phone.get_by_role("button", name="Mark all as read").click()
        expect(person.unread).to_have_count(0)
    page.get_by_role("button", name="Hammer 1,000").click()
    expect(page.locator(".verdict").nth(1)).to_have_text("All 1,000, in order, none twice.")
    ada.say("Bo", "Are you on the other node?")
    expect(bo.messages).to_have_count(1)
    bo.say("Ada", "I am. Kill mine, I lose nothing.")
    expect(ada.messages).to_have_count(2)
    ada.button("Cut my connection").click()
    expect(ada.badge).to_have_text("Back on node-1. Missed 3, got all 3.")
    expect(ada.count).to_have_text("3")
    expect(ada.toasts).to_have_count(0)  # they leave by themselves
    page.get_by_role("button", name="Build", exact=True).click()
    page.get_by_role("button", name="Post", exact=True).click()
    expect(screen.answer()).to_contain_text("Accepted")
    for person in (ada, bo):
        expect(person.toasts).to_have_count(1)
    look(screen, bo)


def look(screen: Screen, person: Person) -> None:
    """Opens the person's inbox."""
    screen.page.keyboard.press("Escape")
    person.bell.click()
    expect(person.panel.get_by_role("article").first).to_contain_text("Build failed")
    screen.page.evaluate("document.activeElement.blur()")
    screen.page.mouse.move(0, 0)


def still_toasts(screen: Screen) -> None:
    """They stay while they are looked at; a picture is to show them whenever it is taken."""
    screen.page.evaluate(
        "for (const it of document.querySelectorAll('.toast')) it.dispatchEvent(new Event('pointerenter'))"
    )


@pytest.fixture
def still(browser: Browser, demo: Demo) -> Iterator[Screen]:
    demo.wait_until_alive()
    demo.empty_inboxes()
    context = browser.new_context(
        viewport=DESKTOP,
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
    page.set_viewport_size(PHONE)
    take(still, "phone-320-first-sight")
    page.set_viewport_size(DESKTOP)
    lived_in(still)
    still_toasts(still)
    for name, size in (("desktop", DESKTOP), ("tablet-768", TABLET), ("phone-320", PHONE)):
        page.set_viewport_size(size)
        if size == TABLET:
            look(still, still.ada)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            take(still, f"{name}-{scheme}")
    page.keyboard.press("Escape")
    page.get_by_text("Post a notification").click()
    take(still, "phone-320-composer")
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Comment", exact=True).click()
    page.get_by_role("button", name="Post", exact=True).click()
    expect(still.ada.items.first).to_contain_text("Grace commented")
    expect(still.ada.items.first).to_be_in_viewport()
    take(still, "phone-320-posted")
