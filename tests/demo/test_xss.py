"""Whatever a notification or a message carries is shown as text, and only http(s) becomes a link."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import expect

from tests.demo.screen import Screen

CORPUS: list[str] = json.loads(Path(__file__).with_name("xss.json").read_text())
NO_LINKS = (
    "JaVaScRiPt:alert(1)",
    "\x01javascript:alert(1)",
    "data:text/html,x",
    "/\\evil.example",
    "path",
    "",
    "https://",
    "ftp://x/",
)


def test_payloads_are_text(screen: Screen) -> None:
    page = screen.page
    for index, payload in enumerate(CORPUS):
        screen.demo.post(
            {
                "to": {"user": "ada"},
                "title": f"{index} {payload}",
                "body": payload,
                "category": payload[:60] if payload.isprintable() else "xss",
                "priority": ("normal", "high", "urgent")[index % 3],
                "data": {"html": payload, "__proto__": payload},
            }
        )
    expect(screen.ada.count).to_have_text(str(len(CORPUS)))
    while screen.ada.items.count() < len(CORPUS):
        screen.ada.items.last.scroll_into_view_if_needed()
    shown = screen.ada.phone.locator("article .text").evaluate_all("all => all.map((one) => one.textContent)")
    assert shown == CORPUS[::-1]
    screen.ada.bell.click()
    expect(screen.ada.panel.get_by_role("article").first).to_be_visible()
    assert page.evaluate("window.pwned ?? null") is None
    for place, allowed in (
        (".toast", {"span", "p", "strong", "a", "svg", "path", "button"}),
        ("article", {"span", "p", "div", "a", "svg", "path", "button", "time"}),
    ):
        made = page.locator(f"{place} *")
        assert made.count() > 5
        assert set(made.evaluate_all("all => all.map((one) => one.localName)")) <= allowed
        assert page.locator(f"{place} :is([onerror], [onload], [onclick], [style]:not(.tile))").count() == 0
    assert page.locator(":is([onerror], [onload], iframe, base)").count() == 0


def test_messages_between_people_are_text(screen: Screen) -> None:
    for payload in CORPUS[:20]:
        screen.ada.say("Bo", payload)
        expect(screen.ada.card.get_by_label("Message", exact=True)).to_have_value("")
    expect(screen.bo.messages).to_have_count(20)
    said = screen.bo.card.locator(".said").evaluate_all("lines => lines.map((line) => line.textContent)")
    assert said == [payload.replace("\t", "\t") for payload in CORPUS[:20]]
    assert screen.page.evaluate("window.pwned ?? null") is None


def test_what_is_not_http_is_no_link(screen: Screen) -> None:
    # The API refuses such URLs; this asks the page alone, as if a notification had come some other way.
    for url in (*NO_LINKS, *CORPUS):
        made = screen.page.evaluate(
            "async (url) => (await import('./page/link.js')).link(url)?.outerHTML ?? null", url
        )
        assert made is None or url.startswith("https:"), url


def test_an_http_link_leaves_no_handle_on_this_page(screen: Screen) -> None:
    made = screen.page.evaluate(
        "async () => { const a = (await import('./page/link.js')).link('https://example.com/a?b=c');"
        " return [a.href, a.rel, a.target, a.textContent]; }"
    )
    assert made == ["https://example.com/a?b=c", "noopener noreferrer", "_blank", "example.com/a"]


def test_a_path_is_a_link_on_this_host(screen: Screen) -> None:
    made = screen.page.evaluate("async () => (await import('./page/link.js')).link('/builds/812').href")
    assert made == screen.page.evaluate("location.origin") + "/builds/812"
