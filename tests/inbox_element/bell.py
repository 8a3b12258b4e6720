"""The page with the bell in words: what a test does on it and what it sees."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

WAIT_S = 30
# What the browser itself says about a connection that a test has broken.
EXPECTED = ("WebSocket connection to", "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_REFUSED")


class Bell:
    """`complaints` is what the console said, which is to be nothing."""

    def __init__(self, page: Page, site: str, config: dict[str, Any], *, axe: Path) -> None:
        self.page = page
        self.address = f"{site}/bell.html#{quote(json.dumps(config))}"
        self.complaints: list[str] = []
        self._axe = axe
        self.root = page.locator("notify-inbox")
        self.button = self.root.locator("[part~=bell]")
        self.badge = self.root.locator("[part~=badge]")
        self.panel = self.root.locator("[part~=panel]")
        self.list = self.root.get_by_role("feed")
        self.items = self.root.get_by_role("article")
        self.titles = self.root.locator("article .title")
        self.unread = self.root.locator("article.unread")
        self.pill = self.root.locator("[part~=pill]")
        self.menu = self.root.locator("[part~=menu]")
        self.bar = self.root.locator("[part~=notice]")
        self.note = self.root.locator("[part~=notice]")
        self.state = self.root.locator("[part~=state]")
        self.status = self.root.get_by_role("status")
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def open_page(self) -> None:
        self.page.goto(self.address)
        self.page.wait_for_function("window.page !== undefined")

    def js(self, expression: str, argument: Any = None) -> Any:
        """The value of an expression in which `page` is what bell.js made."""
        return self.page.evaluate(f"(it) => {expression}", argument)

    def until(self, expression: str, argument: Any = None) -> None:
        self.page.wait_for_function(f"(it) => {expression}", arg=argument)

    def is_live(self) -> None:
        self.until("page.ready && page.socket.connected && page.inbox.state === 'live'")

    def agrees_with(self, answer: Callable[[], Any]) -> None:
        """Waits until list, counts and rev are those of the service, and what is shown is too."""
        until = time.monotonic() + WAIT_S
        while True:
            told = answer()
            want = {
                "rev": told["rev"],
                "counts": told["counts"],
                "ids": [each["id"] for each in told["data"]],
            }
            have = self.js(
                "({rev: page.inbox.rev, counts: page.inbox.counts, ids: page.inbox.items.map((x) => x.id)})"
            )
            have["ids"] = have["ids"][: len(want["ids"])]
            if have == want:
                return
            assert time.monotonic() < until, f"{have} is not {want}"
            time.sleep(0.02)

    def show(self) -> None:
        """Opens the popover and waits for its list."""
        self.button.click()
        expect(self.panel).to_be_visible()
        self.until("page.inbox.loaded && page.inbox.state === 'live'")

    def scroll_to(self, top: int | None = None) -> None:
        """Scrolls the list so many pixels down, or to its end, once it is long enough for that."""
        self.until(
            """(() => {
              const body = page.element.shadowRoot.querySelector("[part~=body]");
              body.scrollTo(0, it ?? body.scrollHeight);
              return it === null ? body.scrollTop > 0 : body.scrollTop === it;
            })()""",
            top,
        )

    def item(self, title: str) -> Locator:
        return self.items.filter(has=self.page.locator(".title", has_text=title))

    def act(self, title: str, name: str) -> None:
        """Chooses from an entry's menu."""
        self.item(title).hover()
        self.item(title).get_by_role("button", name="Actions for").click()
        self.menu.get_by_role("menuitem", name=name).click()

    def tab(self, name: str) -> None:
        self.root.get_by_role("tab", name=name).click()

    def asked(self, event: str) -> list[Any]:
        """The bodies of what the page asked the service for."""
        return [body for name, body in self.js("page.asked") if name == event]

    def findings(self) -> list[str]:
        """What axe-core has to say about the page as it stands."""
        if not self.js("'axe' in window"):
            self.page.evaluate(self._axe.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def _console(self, message: ConsoleMessage) -> None:
        if not any(word in message.text for word in EXPECTED):
            self.complaints.append(message.text)
