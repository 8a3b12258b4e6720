"""Pictures of every state for a reviewer's eyes, in build/screenshots/inbox; each state also passes axe.

Each state is looked at in light and in dark, at one width each; with INBOX_SCREENSHOTS=FOLDER at every width.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.inbox_element.bell import Bell
from tests.inbox_element.conftest import AXE
from tests.inbox_element.service import ROOT, Service

ASKED_FOR = "INBOX_SCREENSHOTS" in os.environ
PLACE = Path(os.environ.get("INBOX_SCREENSHOTS", ROOT / "build" / "screenshots" / "inbox"))
WIDTHS = {320: 640, 768: 900, 1360: 900}
SCHEMES = ("light", "dark")
SAMPLE: list[dict[str, Any]] = [
    {"title": "Welcome to Harbour", "body": "Here is where you hear about what matters to you."},
    {
        "title": "Weekly report is ready",
        "body": "12 deployments, 3 rollbacks, 99.98 % of requests answered.",
        "category": "reports",
        "url": "/reports/48",
    },
    {
        "title": "Invoice 2026-118 was paid",
        "body": "€ 240.00 from Nordwind GmbH.",
        "category": "billing",
        "url": "/invoices/118",
    },
    {
        "title": "Ada mentioned you in “Retry policy for the ingest workers”",
        "body": "@bo could you look at the backoff again? I think that the jitter is applied twice when the "
        "first attempt times out, and then nothing is sent for a minute.",
        "category": "comments",
        "url": "/threads/9",
    },
    {
        "title": "Disk of db-2 is 91 % full",
        "body": "It grows by 2 % an hour.",
        "category": "alerts",
        "priority": "high",
        "url": "/hosts/db-2",
    },
    {
        "title": "Build failed",
        "body": "main #812: 3 of 1,204 tests failed in payments.",
        "category": "ci",
        "priority": "urgent",
        "url": "/builds/812",
    },
    {
        "title": "Deployed to production",
        "body": "web 4.18.2, by Ada.",
        "category": "deploys",
        "url": "/deploys/4182",
    },
]


def stamp(seconds: float) -> str:
    """The time in so many seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def filled(service: Service, user: str) -> list[str]:
    ages = (260_000, 90_000, 50_000, 4000, 1500, 300, 0)
    ids = [service.post(user, data={"age": age}, **fields) for age, fields in zip(ages, SAMPLE, strict=True)]
    service.mark(user, "read", ids[:3])
    return ids


def empty(bell: Bell, service: Service, user: str) -> None:
    bell.show()
    expect(bell.state).to_contain_text("All caught up")


def full(bell: Bell, service: Service, user: str) -> None:
    filled(service, user)
    bell.show()
    expect(bell.items).to_have_count(len(SAMPLE))


def loading(bell: Bell, service: Service, user: str) -> None:
    filled(service, user)
    bell.js("page.wire.hold_ack()")
    bell.button.click()
    expect(bell.root.locator(".bone").first).to_be_visible()


def failed(bell: Bell, service: Service, user: str) -> None:
    bell.js(
        """Object.assign(page.socket, {timeout: () => ({emitWithAck: async () => ({ok: false, error: {
             code: 'unavailable', detail: 'The service is busy. It is asked again soon.', retryable: true,
           }})})})"""
    )
    bell.button.click()
    expect(bell.root.get_by_role("button", name="Try again")).to_be_visible()


def offline(bell: Bell, service: Service, user: str) -> None:
    bell.js("(page.socket.io.reconnection(false), page.wire.cut())")
    bell.until("page.inbox.state === 'offline'")
    bell.button.click()
    expect(bell.state).to_contain_text("No connection")


def behind(bell: Bell, service: Service, user: str) -> None:
    full(bell, service, user)
    bell.js("(page.socket.io.reconnection(false), page.wire.cut())")
    expect(bell.note).to_be_visible()


def menu(bell: Bell, service: Service, user: str) -> None:
    full(bell, service, user)
    bell.item("Ada mentioned").hover()
    bell.item("Ada mentioned").get_by_role("button", name="Actions for").click()
    expect(bell.menu).to_be_visible()


def undo(bell: Bell, service: Service, user: str) -> None:
    full(bell, service, user)
    bell.act("Build failed", "Archive")
    expect(bell.bar).to_contain_text("Archived")


def pill(bell: Bell, service: Service, user: str) -> None:
    service.post_many(
        user, [f"Deployed web 4.17.{n}" for n in range(20)], category="deploys", body="By Ada, to production."
    )
    bell.show()
    bell.scroll_to(300)
    for fields in SAMPLE[-3:]:
        service.post(user, **fields)
    expect(bell.pill).to_have_text("3 new")


def snoozed(bell: Bell, service: Service, user: str) -> None:
    ids = filled(service, user)
    service.mark(user, "snoozed", ids[3:5], until=stamp(7300))
    bell.show()
    bell.tab("Snoozed")
    expect(bell.items).to_have_count(2)


def archived(bell: Bell, service: Service, user: str) -> None:
    bell.show()
    bell.tab("Archived")
    expect(bell.state).to_contain_text("Nothing archived")


STATES = {
    each.__name__: each
    for each in (empty, full, loading, failed, offline, behind, menu, undo, pill, snoozed, archived)
}


LOOKS = [
    (state, width, scheme)
    for place, state in enumerate(STATES)
    for offset, scheme in enumerate(SCHEMES)
    for column, width in enumerate(WIDTHS)
    if ASKED_FOR or column == (place + offset) % len(WIDTHS)
]


@pytest.fixture
def looked_at(service: Service, browser: Browser, site: str, user: str) -> Iterator[Callable[..., Bell]]:
    contexts = []

    def make(*, width: int, scheme: Literal["light", "dark"], **config: object) -> Bell:
        context = browser.new_context(
            viewport={"width": width, "height": WIDTHS[width]},
            reduced_motion="reduce",
            locale="en-GB",
            color_scheme=scheme,
            has_touch=width < 500,
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        bell = Bell(
            context.new_page(),
            site,
            {
                "url": service.url,
                "token": service.token(user),
                "attributes": {"tabs": "ci, billing, comments"},
                **config,
            },
            axe=AXE,
        )
        bell.open_page()
        bell.is_live()
        return bell

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("state", "width", "scheme"), LOOKS)
def test_every_state_can_be_shown(
    looked_at: Callable[..., Bell], service: Service, user: str, state: str, width: int, scheme: str
) -> None:
    bell = looked_at(width=width, scheme=scheme)
    STATES[state](bell, service, user)
    PLACE.mkdir(parents=True, exist_ok=True)
    bell.page.screenshot(path=PLACE / f"{state}-{width}-{scheme}.png")
    assert bell.findings() == []
    wide = bell.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    assert bell.complaints == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_can_stand_in_the_page(
    looked_at: Callable[..., Bell], service: Service, user: str, width: int, scheme: str
) -> None:
    bell = looked_at(width=width, scheme=scheme, attributes={"mode": "inline", "tabs": "ci, billing"})
    filled(service, user)
    expect(bell.items).to_have_count(len(SAMPLE))
    bell.page.screenshot(path=PLACE / f"inline-{width}-{scheme}.png")
    assert bell.findings() == []
    assert bell.complaints == []
