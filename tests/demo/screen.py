"""The demo page in words: what a test does on it and what it sees."""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Dialog, Locator, Page, expect

from tests.demo.service import Demo

# A node that was killed answers nobody, and a post that it had begun is in flight for a while: Chromium logs
# each such answer, and it is no fault of the page, which tries again.
EXPECTED = (
    "409 (Conflict)",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_INTERNET_DISCONNECTED",
    "WebSocket connection to",
)
BACK_MS = 20_000


class Person:
    """One person's card."""

    def __init__(self, page: Page, name: str) -> None:
        self.name = name
        self.card = page.locator(f"#person-{name.lower()}")
        self.toasts = self.card.locator(".toast")
        self.items = self.card.locator(".item")
        self.titles = self.card.locator(".item-title")
        self.count = self.card.locator(".bell .count")
        self.bell = self.card.get_by_role("button", name=f"Notifications for {name}")
        self.badge = self.card.locator(".recovered")
        self.journal = self.card.locator(".journal-lines")
        self.messages = self.card.locator(".message")
        self.chips = self.card.locator(".chip")

    def button(self, name: str) -> Locator:
        return self.card.get_by_role("button", name=name)

    def live_on(self, node: str, timeout: int = BACK_MS) -> None:
        expect(self.card.locator(".status-text")).to_contain_text(f"Live on {node}", timeout=timeout)

    def join(self, room: str) -> None:
        self.card.get_by_label("Room", exact=True).fill(room)
        self.button("Join").click()
        expect(self.chips.filter(has_text=room)).to_be_visible()

    def say(self, to: str, text: str) -> None:
        self.card.get_by_label(f"Message from {self.name} to").select_option(label=f"to {to}")
        self.card.get_by_label("Message", exact=True).fill(text)
        self.button("Send message").click()


class Screen:
    """The page, its people, and what its console complained of."""

    def __init__(self, page: Page, demo: Demo) -> None:
        self.page = page
        self.demo = demo
        self.complaints: list[str] = []
        self.ada = Person(page, "Ada")
        self.bo = Person(page, "Bo")
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("dialog", self._dialog)

    def open(self) -> None:
        self.page.goto(self.demo.page)
        self.ada.live_on("node-1")
        self.bo.live_on("node-2")

    def post(self, to: str = "Everyone", **fields: str) -> None:
        """Fills the form in and posts: `title=`, `body=`, `link=`, `category=`, `priority=`."""
        composer = self.page.locator("#composer")
        composer.get_by_label("To", exact=True).select_option(label=to)
        priority = fields.pop("priority", "normal")
        composer.get_by_role("radio", name=priority).check(force=True)
        for name in ("Title", "Body", "Link", "Category"):
            composer.get_by_label(name, exact=True).fill(fields.get(name.lower(), ""))
        composer.get_by_role("button", name="Post", exact=True).click()

    def answer(self) -> Locator:
        return self.page.locator("#composer .answer")

    def no_sideways_scroll(self) -> None:
        wide = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], wide

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(word in message.text for word in EXPECTED):
            self.complaints.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()
