"""How the page looks and behaves for everyone: widths, colours, keyboard, screen reader, motion, failure."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo.screen import Screen
from tests.demo.service import Demo

CONTRAST = Path(__file__).with_name("contrast.js").read_text()


def test_the_page_says_when_the_service_does_not_answer(browser: Browser, demo: Demo) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/config.json", lambda route: route.abort())
    page.goto(demo.page)
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/config.json")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-state=live]").first).to_be_visible()
    context.close()


def test_a_refused_token_is_said_so(browser: Browser, demo: Demo) -> None:
    context = browser.new_context()
    page = context.new_page()
    config = demo.get("config.json")
    config["people"][0]["token"] = "not a token"
    page.route("**/config.json", lambda route: route.fulfill(json=config))
    page.goto(demo.page)
    expect(page.locator("#person-ada")).to_have_attribute("data-state", "refused")
    expect(page.locator("#person-bo")).to_have_attribute("data-state", "live")
    expect(page.locator("#person-ada").get_by_role("button", name="Cut my connection")).to_be_disabled()
    context.close()


def token(demo: Demo, *, expires_in_s: int) -> str:
    claims = {"sub": "ada", "exp": int(time.time()) + expires_in_s}
    return jwt.encode(claims, demo.secrets["jwt_secret"], algorithm="HS256")


@pytest.mark.parametrize(
    ("expires_in_s", "shown"),
    [(-10, "Refused: "), (7, "Token refreshed")],
    ids=["an expired one", "one that expires while connected"],
)
def test_a_token_that_runs_out_is_renewed(
    browser: Browser, demo: Demo, expires_in_s: int, shown: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    config = demo.get("config.json")
    config["people"][0]["token"] = token(demo, expires_in_s=expires_in_s)
    page.route("**/config.json", lambda route: route.fulfill(json=config), times=1)
    page.goto(demo.page)
    ada = page.locator("#person-ada")
    expect(ada.locator(".journal-lines")).to_contain_text(shown, timeout=15_000)
    expect(ada).to_have_attribute("data-state", "live")
    context.close()


def test_empty_lists_say_what_to_do(screen: Screen) -> None:
    expect(screen.ada.card.locator(".empty")).to_contain_text("Nothing yet.")
    expect(screen.ada.count).to_be_hidden()


def test_the_form_works_by_keyboard_alone(screen: Screen) -> None:
    page = screen.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the people")).to_be_focused()
    page.get_by_label("Title", exact=True).focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Typed")
    page.keyboard.press("Enter")
    expect(screen.ada.titles).to_have_text(["New: Typed"])
    page.locator("#priority-high").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#priority-urgent")).to_be_checked()
    expect(page.locator("#loudness")).to_contain_text("stays until it is dismissed")


def test_everything_that_can_be_operated_has_a_name(screen: Screen) -> None:
    screen.post(title="With a toast", link="https://example.com/")
    expect(screen.bo.toasts).to_have_count(1)
    session = screen.page.context.new_cdp_session(screen.page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    operable = {"button", "textbox", "combobox", "radio", "link", "progressbar"}
    nodes = [node for node in tree if node.get("role", {}).get("value") in operable and not node["ignored"]]
    assert len(nodes) > 30
    assert [node for node in nodes if not node.get("name", {}).get("value")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(screen: Screen, scheme: str) -> None:
    page = screen.page
    page.get_by_label("Colours").select_option(scheme)
    for priority in ("low", "normal", "high", "urgent"):
        screen.post(
            title=f"A {priority} one", body="with a body", link="https://example.com/", priority=priority
        )
        expect(screen.answer()).to_contain_text("Accepted")
    expect(screen.ada.items).to_have_count(4)
    faint = page.evaluate(CONTRAST)
    assert faint == []


def test_the_choice_of_colours_is_kept(screen: Screen) -> None:
    page = screen.page
    page.get_by_label("Colours").select_option("dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_label("Colours")).to_have_value("dark")


def test_no_width_scrolls_sideways(screen: Screen) -> None:
    long = {
        "title": "W" * 120,
        "body": "/".join(["unbroken"] * 30),
        "category": "c" * 40,
        "priority": "urgent",
    }
    screen.post(**long, link="https://example.com/" + "x" * 200)
    screen.ada.join("project:" + "r" * 120)
    expect(screen.ada.items).to_have_count(1)
    expect(screen.ada.toasts).to_have_count(1)
    for width in (320, 360, 480, 768, 1024, 1280, 1920):
        screen.page.set_viewport_size({"width": width, "height": 800})
        screen.no_sideways_scroll()


def test_nothing_moves_for_those_who_asked_for_it(screen: Screen) -> None:
    screen.page.emulate_media(reduced_motion="reduce")
    screen.post(title="Still")
    animation = screen.ada.toasts.evaluate("element => getComputedStyle(element).animationName")
    assert animation == "none"


def test_the_page_loads_nothing_from_elsewhere(page: Page, screen: Screen) -> None:
    allowed = [screen.demo.page, *(node["url"] for node in screen.demo.config["nodes"])]
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert asked
    assert [url for url in asked if not url.startswith((*allowed, "data:"))] == []
