"""How the page looks and behaves for everyone: widths, colours, keyboard, screen reader, motion, failure."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo.screen import Screen
from tests.demo.service import ROOT, Demo

CONTRAST = Path(__file__).with_name("contrast.js").read_text()
AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
WIDTHS = [(320, 640), (768, 1024), (1360, 900)]
RECTS = """() => {
  const rect = (element) => element.getBoundingClientRect();
  const main = document.querySelector("main");
  const scroller = getComputedStyle(main).display === "contents" ? document.getElementById("people") : main;
  return {
    bottom: rect(scroller).bottom,
    toasts: [...document.querySelectorAll(".toast")].map(rect)
      .map(({ top, bottom, height }) => [top, bottom, height]),
    window: innerHeight,
  };
}"""


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
    expect(ada.locator(".journal-lines")).to_contain_text(shown)
    expect(ada).to_have_attribute("data-state", "live")
    context.close()


def test_empty_lists_say_what_to_do(screen: Screen) -> None:
    expect(screen.ada.phone.locator("[part~=state]")).to_contain_text("Nothing yet")
    expect(screen.ada.count).to_be_hidden()


def test_the_form_works_by_keyboard_alone(screen: Screen) -> None:
    page = screen.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the people")).to_be_focused()
    page.get_by_label("Title", exact=True).focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Typed")
    page.keyboard.press("Enter")
    expect(screen.ada.titles).to_have_text(["Unread: Typed"])
    page.locator("#priority-high").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#priority-urgent")).to_be_checked()
    expect(page.locator("#loudness")).to_contain_text("stays until it is dismissed")


def test_everything_that_can_be_operated_has_a_name(screen: Screen) -> None:
    screen.post(title="With a toast", link="https://example.com/")
    expect(screen.bo.toasts).to_have_count(1)
    session = screen.page.context.new_cdp_session(screen.page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    operable = {"button", "textbox", "checkbox", "tab", "combobox", "radio", "link", "progressbar"}
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
    screen.ada.bell.click()
    expect(screen.ada.items).to_have_count(1)
    expect(screen.ada.toasts).to_have_count(1)
    for width in (320, 360, 480, 768, 1024, 1280, 1920):
        screen.page.set_viewport_size({"width": width, "height": 800})
        screen.no_sideways_scroll()


def test_nothing_moves_for_those_who_asked_for_it(screen: Screen) -> None:
    screen.page.emulate_media(reduced_motion="reduce")
    screen.post(title="Still")
    expect(screen.ada.toasts).to_have_count(1)
    animation = screen.ada.toasts.evaluate("element => getComputedStyle(element).animationName")
    assert animation == "none"


def test_the_page_loads_nothing_from_elsewhere(page: Page, screen: Screen) -> None:
    allowed = [screen.demo.page, *(node["url"] for node in screen.demo.config["nodes"])]
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert asked
    assert [url for url in asked if not url.startswith((*allowed, "data:"))] == []


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_toasts_stack_at_the_edge_a_line_each_and_cover_nothing(
    screen: Screen, width: int, height: int
) -> None:
    screen.page.set_viewport_size({"width": width, "height": height})
    for number in (1, 2, 3):
        screen.demo.post(
            {
                "to": {"users": ["ada", "bo"]},
                "title": f"{number} " + "long " * 40,
                "body": "text " * 40,
                "priority": "urgent",
            }
        )
    expect(screen.ada.items).to_have_count(3)
    expect(screen.ada.strip.get_by_role("button", name="Dismiss all")).to_be_visible()
    rects = screen.page.evaluate(RECTS)
    assert len(rects["toasts"]) == (2 if width == 320 else 4)
    for top, bottom, tall in rects["toasts"]:
        assert rects["bottom"] <= top < bottom <= rects["window"]
        assert tall < 50


def test_on_a_phone_pressing_post_shows_the_arrival(screen: Screen) -> None:
    page = screen.page
    page.set_viewport_size({"width": 320, "height": 640})
    form = page.get_by_label("Title", exact=True)
    expect(form).to_be_hidden()
    page.get_by_text("Post a notification").click()
    expect(form).to_be_visible()
    screen.post("Bo", title="Look here")
    expect(form).to_be_hidden()
    expect(screen.bo.items.first).to_contain_text("Look here")
    expect(screen.bo.items.first).to_be_in_viewport(ratio=1)
    expect(screen.bo.toasts).to_be_in_viewport(ratio=1)
    screen.no_sideways_scroll()


def test_the_newest_toast_is_shown_and_the_oldest_counted(screen: Screen) -> None:
    for number in range(1, 6):
        screen.demo.post({"to": {"user": "ada"}, "title": f"Toast {number}", "priority": "high"})
    shown = screen.ada.toasts.locator(".toast-title")
    expect(shown).to_have_text(["Toast 3", "Toast 4", "Toast 5"])
    expect(screen.ada.strip.get_by_role("button", name="and 2 more for Ada. Dismiss all")).to_be_visible()
    screen.ada.toasts.first.get_by_role("button", name="Dismiss").focus()
    screen.demo.post({"to": {"user": "ada"}, "title": "Toast 6", "priority": "high"})
    expect(shown).to_have_text(["Toast 3", "Toast 5", "Toast 6"])  # what has the focus stays


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(*WIDTHS[0], "light"), (*WIDTHS[1], "dark"), (*WIDTHS[2], "light")]
)
def test_axe_finds_nothing(screen: Screen, width: int, height: int, scheme: str) -> None:
    page = screen.page
    page.set_viewport_size({"width": width, "height": height})
    page.get_by_label("Colours").select_option(scheme)
    for priority in ("normal", "high", "urgent"):
        screen.post(
            title=f"A {priority} one", body="with a body", link="https://example.com/", priority=priority
        )
    screen.ada.say("Bo", "Hello")
    expect(screen.bo.messages).to_have_count(1)
    expect(screen.ada.items).to_have_count(3)
    page.emulate_media(reduced_motion="reduce")
    for open_first in (False, True):
        if open_first:
            screen.ada.bell.click()
            expect(screen.ada.panel.get_by_role("article")).to_have_count(3)
        page.evaluate(AXE)
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


@contextmanager
def page_of_ones_own(directory: Path, html: str) -> Iterator[str]:
    """A page that another server of this machine serves."""
    (directory / "index.html").write_text(f"<!doctype html><html lang=en><title>own</title><body>{html}")
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_what_is_printed_works_on_a_page_of_ones_own(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    demo.wait_until_alive()
    demo.empty_inboxes()
    printed = re.search(r"<notify-inbox>.*</script>", "".join(demo.printed), re.DOTALL)
    assert printed, demo.printed
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    with page_of_ones_own(tmp_path, printed.group()) as address:
        page.goto(address)
        page.wait_for_function("document.querySelector('notify-inbox').inbox?.state === 'live'")
        demo.post({"to": {"user": "ada"}, "title": "To a page of one's own"})
        expect(page.locator("[part~=badge]")).to_have_text("1")
        page.locator("[part~=bell]").click()
        expect(page.get_by_role("article")).to_contain_text("To a page of one's own")
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []
    context.close()
