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
BACK_MS = 30_000


class Person:
    """One person: the app on their laptop with its bell, their phone with the list, and their toasts."""

    def __init__(self, page: Page, name: str) -> None:
        self.name = name
        self.card = page.locator(f"#person-{name.lower()}")
        self.bell = self.card.locator("notify-inbox [part~=bell]")
        self.count = self.card.locator("notify-inbox [part~=badge]")
        self.panel = self.card.locator("notify-inbox [part~=panel]")
        self.read_on_laptop = self.card.locator("article.item:not(.unread)")
        self.phone = page.locator(f"#phone-{name.lower()}")
        self.items = self.phone.get_by_role("article")
        self.titles = self.phone.locator("article .title")
        self.unread = self.phone.locator("article.unread")
        self.strip = page.get_by_role("region", name=f"Toasts for {name}")
        self.toasts = self.strip.locator(".toast")
        self.badge = self.card.locator(".recovered")
        self.journal = self.card.locator(".journal-lines")
        self.messages = self.card.locator(".message")
        self.chips = self.card.locator(".chip")

    def button(self, name: str) -> Locator:
        return self.card.get_by_role("button", name=name)

    def live_on(self, node: str, timeout: int = BACK_MS) -> None:
        status = self.card.locator(".bar .status-text")
        expect(status).to_contain_text(f"Live on {node}", timeout=timeout)

    def phone_is_live(self) -> None:
        expect(self.phone.locator(".status-text")).to_contain_text("Live on", timeout=BACK_MS)

    def join(self, room: str) -> None:
        self.card.locator("details", has_text="Rooms").evaluate("rooms => { rooms.open = true; }")
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
        for person in (self.ada, self.bo):
            person.phone_is_live()

    def post(self, *to: str, **fields: str) -> None:
        """Fills the form in (title, body, link, category, priority) and posts, to both by default."""
        composer = self.page.locator("#composer")
        composer.evaluate("composer => { composer.open = true; }")
        for target in ("Ada", "Bo", "A room", "Everyone"):
            box = composer.get_by_role("checkbox", name=target)
            box.set_checked(target in (to or ("Ada", "Bo")), force=True)
        priority = fields.pop("priority", "normal")
        composer.get_by_role("radio", name=priority).check(force=True)
        for name in ("Title", "Body", "Link", "Category"):
            composer.get_by_label(name, exact=True).fill(fields.get(name.lower(), ""))
        composer.get_by_role("button", name="Post", exact=True).click()
        expect(self.answer()).not_to_have_text("Posting …")  # a small screen folds the form when it is done

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
