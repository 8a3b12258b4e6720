"""The bell and its list, as people use them: by mouse, by keyboard, with a screen reader, in any language."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.inbox_element.bell import WAIT_S, Bell
from tests.inbox_element.service import Service

Visit = Callable[..., Bell]


def test_the_bell_counts_what_was_not_seen(bell: Bell, service: Service, user: str) -> None:
    expect(bell.badge).to_be_hidden()
    expect(bell.button).to_have_accessible_name("Notifications")
    service.post(user, "One")
    expect(bell.badge).to_have_text("1")
    expect(bell.button).to_have_accessible_name("Notifications, 1 new")
    service.post_many(user, [f"n {n}" for n in range(120)])
    expect(bell.badge).to_have_text("99+")
    expect(bell.button).to_have_accessible_name("Notifications, 121 new")


@pytest.mark.parametrize(("badge", "shown"), [("unread", "3"), ("unseen", "2"), ("none", None)])
def test_the_badge_counts_what_it_is_told(
    visit: Visit, service: Service, user: str, badge: str, shown: str | None
) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    service.mark(user, "seen", ids[:1])
    bell = visit(attributes={"badge": badge})
    bell.is_live()
    if shown is None:
        expect(bell.badge).to_be_hidden()
    else:
        expect(bell.badge).to_have_text(shown)


def test_opening_lists_and_a_second_of_looking_marks_seen(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"n {n}" for n in range(12)])
    expect(bell.badge).to_have_text("12")
    assert bell.asked("inbox:list") == []
    bell.show()
    expect(bell.items).to_have_count(12)
    visible = bell.page.evaluate(
        """() => {
          const root = page.element.shadowRoot, box = root.querySelector('.body').getBoundingClientRect();
          return [...root.querySelectorAll('article')].filter((row) => {
            const {top, height} = row.getBoundingClientRect();
            return top + height / 2 <= box.bottom;
          }).length;
        }"""
    )
    assert 0 < visible < 12
    expect(bell.badge).to_have_text(str(12 - visible))
    bell.until("page.asked.some(([name, body]) => name === 'inbox:mark' && body.as === 'seen')")
    marks = [mark for mark in bell.asked("inbox:mark") if mark["as"] == "seen"]
    assert len(marks) == 1
    expect(bell.unread).to_have_count(12)
    bell.scroll_to()
    expect(bell.badge).to_be_hidden()
    bell.agrees_with(lambda: service.inbox(user))
    assert service.inbox(user)["counts"]["unseen"] == 0


def test_nothing_is_seen_behind_a_closed_popover(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "One")
    bell.show()
    expect(bell.items).to_have_count(1)
    bell.page.keyboard.press("Escape")
    bell.page.clock.install()
    bell.page.clock.run_for(5000)
    assert [mark for mark in bell.asked("inbox:mark") if mark["as"] == "seen"] == []
    expect(bell.badge).to_have_text("1")


def test_a_click_marks_read_and_follows_the_link(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "With a link", url="/there.html?x=1")
    bell.page.route("**/there.html*", lambda route: route.fulfill(body="There", content_type="text/html"))
    bell.show()
    bell.items.first.click()
    bell.page.wait_for_url("**/there.html?x=1")
    deadline = time.monotonic() + WAIT_S
    while service.inbox(user)["counts"]["unread"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_click_that_the_page_takes_for_itself_does_nothing_more(
    bell: Bell, service: Service, user: str
) -> None:
    identifier = service.post(user, "With a link", url="/there.html")
    bell.js("page.element.addEventListener('notify-click', (event) => event.preventDefault())")
    bell.show()
    bell.items.first.click()
    assert bell.js("page.clicks") == [identifier]
    assert "bell.html" in bell.page.url
    expect(bell.unread).to_have_count(1)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        " javascript:alert(1)",
        "vbscript:x",
        "java\nscript:alert(1)",
        "blob:x",
    ],
)
def test_only_http_and_relative_addresses_become_links(
    bell: Bell, service: Service, user: str, url: str
) -> None:
    service.post(
        user, "<img src=x onerror=alert(1)>", body="<script>alert(2)</script>", category="<b>", url="/fine"
    )
    bell.show()
    expect(bell.items).to_have_count(1)
    # A service takes no such address: the element must not rely on that.
    bell.js(
        """((rev) => page.socket.onevent({type: 2, nsp: '/', data: ['notification', {
             id: 'ntf_x', title: 'No link', url: it, created_at: new Date().toISOString(),
             inbox: {rev, place: rev, unseen: 2, unread: 2}}]}))(page.inbox.rev + 1)""",
        url,
    )
    expect(bell.titles).to_have_text(["Unread: No link", "Unread: <img src=x onerror=alert(1)>"])
    assert bell.root.locator("article :is(img, script, b)").count() == 0
    assert bell.root.locator("article a").evaluate_all("(all) => all.map((a) => a.pathname)") == ["/fine"]


def test_the_menu_of_an_entry(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, ["One", "Two", "Three"])
    bell.show()
    bell.act("Two", "Mark as read")
    expect(bell.unread).to_have_count(2)
    bell.act("Two", "Mark as unread")
    expect(bell.unread).to_have_count(3)
    bell.act("One", "Archive")
    expect(bell.items).to_have_count(2)
    bell.act("Three", "Snooze for an hour")
    expect(bell.items).to_have_count(1)
    bell.tab("Snoozed")
    expect(bell.titles).to_have_text([re.compile("Three")])
    expect(bell.items.locator("time")).to_have_text("in 1 hr.")
    bell.act("Three", "End snooze")
    expect(bell.state).to_contain_text("Nothing snoozed")
    bell.tab("Archived")
    expect(bell.titles).to_have_text([re.compile("One")])
    bell.act("One", "Move to inbox")
    expect(bell.state).to_contain_text("Nothing archived")
    bell.tab("All")
    expect(bell.titles).to_have_text([re.compile("Three"), re.compile("Two"), re.compile("One")])
    bell.agrees_with(lambda: service.inbox(user))


def test_an_archived_entry_can_be_fetched_back_at_once(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, ["One", "Two"])
    bell.show()
    bell.act("Two", "Archive")
    expect(bell.items).to_have_count(1)
    bell.bar.get_by_role("button", name="Undo").click()
    expect(bell.titles).to_have_text([re.compile("Two"), re.compile("One")])
    expect(bell.bar).to_be_hidden()


def test_all_are_marked_read_or_archived(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"n {n}" for n in range(40)])
    bell.show()
    bell.root.get_by_role("button", name="Mark all as read").click()
    expect(bell.unread).to_have_count(0)
    expect(bell.badge).to_be_hidden()
    bell.root.get_by_role("button", name="Archive all").click()
    expect(bell.items).to_have_count(20)
    bell.bar.get_by_role("button", name="Archive all").click()
    expect(bell.state).to_contain_text("All caught up")
    expect(bell.items).to_have_count(0)
    bell.agrees_with(lambda: service.inbox(user))


def test_a_press_beside_closes_a_menu_and_the_same_button_does_not_open_it_again(
    bell: Bell, service: Service, user: str
) -> None:
    service.post_many(user, ["One", "Two"])
    bell.show()
    bell.item("Two").hover()
    button = bell.item("Two").get_by_role("button", name="Actions for")
    button.click()
    expect(bell.menu).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(bell.menu).to_be_hidden()
    expect(bell.panel).to_be_visible()
    bell.item("One").hover()
    bell.item("One").get_by_role("button", name="Actions for").click()
    expect(bell.menu).to_be_visible()


def test_new_ones_never_move_a_list_that_is_scrolled(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"old {n}" for n in range(20)])
    bell.show()
    expect(bell.items).to_have_count(20)
    bell.scroll_to(400)
    before = bell.items.nth(8).bounding_box()
    service.post_many(user, ["new 1", "new 2", "new 3"])
    expect(bell.pill).to_have_text("3 new")
    assert bell.items.nth(8).bounding_box() == before
    expect(bell.titles.first).to_have_text("Unread: old 19")
    bell.pill.click()
    expect(bell.titles.first).to_have_text("Unread: new 3")
    expect(bell.pill).to_be_hidden()
    expect(bell.items).to_have_count(23)
    service.post(user, "new 4")
    expect(bell.titles.first).to_have_text("Unread: new 4")


def test_scrolling_up_shows_what_was_held_back(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"old {n}" for n in range(20)])
    bell.show()
    bell.scroll_to(400)
    service.post(user, "new")
    expect(bell.pill).to_be_visible()
    bell.scroll_to(0)
    expect(bell.titles.first).to_have_text("Unread: new")
    expect(bell.pill).to_be_hidden()


def test_more_is_loaded_on_scroll(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"n {n}" for n in range(75)])
    bell.show()
    bell.page.wait_for_function(
        """() => {
          const body = page.element.shadowRoot.querySelector(".body");
          body.scrollTo(0, body.scrollHeight);
          return body.querySelectorAll("article").length === 75;
        }"""
    )
    expect(bell.items).to_have_count(75)
    expect(bell.titles.last).to_have_text("Unread: n 0")
    assert bell.root.locator(".bone").count() == 0


def test_tabs_of_categories(visit: Visit, service: Service, user: str) -> None:
    service.post(user, "Build", category="ci")
    service.post(user, "Invoice", category="billing")
    bell = visit(attributes={"tabs": "ci, billing"})
    bell.is_live()
    bell.show()
    expect(bell.items).to_have_count(2)
    bell.tab("ci")
    expect(bell.titles).to_have_text(["Unread: Build"])
    service.post(user, "Another", category="ci")
    expect(bell.items).to_have_count(2)
    service.post(user, "Not here", category="billing")
    bell.tab("billing")
    expect(bell.titles).to_have_text(["Unread: Not here", "Unread: Invoice"])
    bell.tab("All")
    expect(bell.items).to_have_count(4)


def test_it_works_by_keyboard_alone(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, ["One", "Two", "Three"])
    page = bell.page
    page.keyboard.press("Tab")
    expect(bell.button).to_be_focused()
    page.keyboard.press("Enter")
    expect(bell.panel).to_be_visible()
    expect(bell.panel).to_be_focused()
    expect(bell.button).to_have_attribute("aria-expanded", "true")
    expect(bell.items).to_have_count(3)
    for name in ("Mark all as read", "Archive all"):
        page.keyboard.press("Tab")
        expect(bell.root.get_by_role("button", name=name)).to_be_focused()
    page.keyboard.press("Tab")
    expect(bell.root.get_by_role("tab", name="All")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(bell.root.get_by_role("tab", name="Snoozed")).to_be_focused()
    expect(bell.root.get_by_role("tab", name="Snoozed")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(bell.root.get_by_role("tab", name="Archived")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(bell.root.get_by_role("tab", name="All")).to_be_focused()
    expect(bell.items).to_have_count(3)
    page.keyboard.press("Tab")
    expect(bell.titles.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(bell.items.nth(1)).to_be_focused()
    page.keyboard.press("PageDown")
    expect(bell.items.nth(2)).to_be_focused()
    page.keyboard.press("PageUp")
    page.keyboard.press("Enter")
    expect(bell.unread).to_have_count(2)
    expect(bell.items.nth(1)).to_have_accessible_name("Two")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    actions = bell.items.nth(1).get_by_role("button", name="Actions for Two")
    expect(actions).to_be_focused()
    page.keyboard.press("Enter")
    expect(bell.menu.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("End")
    expect(bell.menu.get_by_role("menuitem", name="Until next week")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(bell.menu.get_by_role("menuitem", name="Mark as unread")).to_be_focused()
    page.keyboard.press("Escape")
    expect(bell.menu).to_be_hidden()
    expect(actions).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(bell.items).to_have_count(2)
    expect(bell.items.nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(bell.panel).to_be_hidden()
    expect(bell.button).to_be_focused()
    expect(bell.button).to_have_attribute("aria-expanded", "false")


def test_a_click_elsewhere_closes_and_takes_the_focus_with_it(bell: Bell) -> None:
    bell.show()
    elsewhere = bell.page.locator("#elsewhere")
    elsewhere.click()
    expect(bell.panel).to_be_hidden()
    expect(elsewhere).to_be_focused()
    bell.button.click()
    expect(bell.panel).to_be_visible()
    bell.button.click()
    expect(bell.panel).to_be_hidden()


def test_a_page_may_forbid_the_opening(bell: Bell) -> None:
    bell.js("page.element.addEventListener('notify-open', (event) => event.preventDefault(), {once: true})")
    bell.button.click()
    expect(bell.panel).to_be_hidden()
    bell.button.click()
    expect(bell.panel).to_be_visible()


def test_arrivals_are_announced_together(bell: Bell, service: Service, user: str) -> None:
    bell.page.clock.install()
    service.post(user, "Build failed")
    bell.until("page.arrivals.length === 1")
    bell.page.clock.run_for(1000)
    expect(bell.status).to_have_text("New notification: Build failed")
    service.post_many(user, ["One", "Two", "Three"])
    bell.until("page.arrivals.length === 4")
    bell.page.clock.run_for(3000)
    expect(bell.status).to_have_text("New notification: Build failed")
    bell.page.clock.run_for(3000)
    expect(bell.status).to_have_text("3 new notifications")


def test_an_arrival_that_the_page_takes_for_itself_is_not_announced(
    bell: Bell, service: Service, user: str
) -> None:
    bell.page.clock.install()
    bell.js("page.element.addEventListener('notify-arrival', (event) => event.preventDefault())")
    service.post(user, "Build failed")
    bell.until("page.arrivals.length === 1")
    bell.page.clock.run_for(10_000)
    expect(bell.status).to_have_text("")


def test_times_stay_current(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "One")
    bell.page.clock.install()
    bell.show()
    time = bell.items.first.locator("time")
    expect(time).to_have_text("now")
    bell.page.clock.run_for(75_000)
    expect(time).to_have_text("1 min. ago")
    bell.page.clock.run_for(3_600_000)
    expect(time).to_have_text("1 hr. ago")


def test_another_language_reads_from_the_right(visit: Visit, service: Service, user: str) -> None:
    service.post_many(user, ["واحد", "اثنان"], category="ci")
    bell = visit(dir="rtl")
    bell.is_live()
    bell.js("Object.assign(page.element, {locale: 'ar', labels: {title: 'الإشعارات', all: 'الكل'}})")
    bell.show()
    expect(bell.root.get_by_role("dialog", name="الإشعارات")).to_be_visible()
    expect(bell.items.first.locator("time")).to_have_text("الآن")
    dot, title = bell.root.locator(".dot").first.bounding_box(), bell.titles.first.bounding_box()
    panel, button = bell.panel.bounding_box(), bell.button.bounding_box()
    assert dot and title and panel and button
    assert dot["x"] > title["x"]
    assert abs(panel["x"] - button["x"]) < 2
    bell.root.get_by_role("tab", name="الكل").focus()
    bell.page.keyboard.press("ArrowLeft")
    expect(bell.root.get_by_role("tab", name="Snoozed")).to_be_focused()
    assert bell.findings() == []


def test_colours_follow_the_scheme_and_the_properties(visit: Visit, service: Service, user: str) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        bell = visit(scheme=scheme)
        bell.show()
        colours.add(bell.panel.evaluate("(it) => getComputedStyle(it).backgroundColor"))
    assert len(colours) == 2
    bell.page.evaluate("document.documentElement.style.setProperty('--notify-background', 'rgb(1, 2, 3)')")
    assert bell.panel.evaluate("(it) => getComputedStyle(it).backgroundColor") == "rgb(1, 2, 3)"


def test_parts_are_open_to_the_page(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "One", category="ci", priority="urgent", body="Text")
    bell.show()
    bell.page.evaluate(
        """() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(`notify-inbox::part(item) { padding-top: 77px }
                             notify-inbox::part(unread) { padding-bottom: 66px }`);
          document.adoptedStyleSheets.push(sheet);
        }"""
    )
    style = "(it) => [getComputedStyle(it).paddingTop, getComputedStyle(it).paddingBottom]"
    assert bell.items.first.evaluate(style) == ["77px", "66px"]


def test_nothing_moves_for_those_who_asked_for_it(bell: Bell) -> None:
    bell.page.emulate_media(reduced_motion="reduce")
    bell.show()
    assert bell.panel.evaluate("(it) => getComputedStyle(it).animationName") == "none"


def test_forced_colours_keep_the_marks(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "One")
    bell.page.emulate_media(forced_colors="active")
    bell.show()
    marked = bell.root.locator(".dot").evaluate(
        "(it) => [it, it.closest('article')].map((one) => getComputedStyle(one).backgroundColor)"
    )
    assert marked[0] != marked[1]


def test_the_page_renders_items_of_its_own(bell: Bell, service: Service, user: str) -> None:
    bell.js(
        """(page.element.renderItem = ({data}) => (
             Object.assign(document.createElement('progress'), {value: data.done, title: 'Done'})), null)"""
    )
    service.post(user, "Upload", data={"done": 0.5})
    bell.show()
    expect(bell.items.get_by_role("progressbar")).to_have_count(1)
    bell.js("(page.element.renderItem = null, null)")
    expect(bell.items.get_by_role("progressbar")).to_have_count(0)
    expect(bell.items).to_have_count(1)


def test_slots_take_what_the_page_gives(bell: Bell) -> None:
    bell.page.evaluate(
        """() => {
          const given = [
            ["bell", "span", "B"], ["header", "h3", "Mine"], ["empty", "p", "Nothing to do"],
            ["footer", "a", "Settings"],
          ];
          for (const [slot, tag, text] of given) {
            const node = Object.assign(document.createElement(tag), { slot, textContent: text });
            page.element.append(node);
          }
        }"""
    )
    bell.show()
    for text in ("B", "Mine", "Nothing to do", "Settings"):
        expect(bell.page.get_by_text(text, exact=True)).to_be_visible()
    expect(bell.root.locator(".header")).to_be_hidden()


def test_an_element_that_is_moved_or_removed_goes_on_or_lets_go(
    bell: Bell, service: Service, user: str
) -> None:
    service.post(user, "One")
    bell.page.evaluate("document.querySelector('main').append(page.element)")
    expect(bell.badge).to_have_text("1")
    bell.show()
    expect(bell.items).to_have_count(1)
    bell.tab("Archived")
    listeners = bell.js("page.socket.listenersAny().length")
    bell.page.evaluate("page.element.remove()")
    assert bell.js("page.socket.listenersAny().length") == listeners - 1


def test_an_element_made_before_its_script_takes_up_what_was_set(
    visit: Visit, service: Service, user: str
) -> None:
    service.post(user, "One")
    bell = visit()
    bell.is_live()
    bell.page.evaluate(
        """() => {
          const early = document.createElement('notify-late');
          early.inbox = page.inbox;
          document.body.append(early);
          customElements.define('notify-late', class extends page.NotifyInbox {});
        }"""
    )
    expect(bell.page.locator("notify-late [part~=badge]")).to_have_text("1")


def test_a_thousand_entries_open_as_fast_as_a_few(visit: Visit, service: Service, user: str) -> None:
    service.post_many(
        user, [f"n {n}" for n in range(1000)], body="Some text that says a little more.", category="ci"
    )
    bell = visit(options={"limit": 100})
    bell.is_live()
    bell.js("page.inbox.load()")
    few = fastest_opening(bell)
    for _ in range(9):
        bell.js("page.inbox.more()")
    assert bell.js("page.inbox.items.length") == 1000
    assert fastest_opening(bell) < 4 * few  # ten times as many
    bell.show()
    expect(bell.titles.first).to_have_text("Unread: n 999")
    shown = bell.items.count()
    bell.scroll_to()
    bell.until("page.element.shadowRoot.querySelectorAll('article').length > it", shown)
    assert bell.items.count() < 200


def fastest_opening(bell: Bell) -> float:
    """The milliseconds from a click on the bell until its list is painted, at best."""
    took: list[float] = [
        bell.page.evaluate(
            """async () => {
              const root = page.element.shadowRoot;
              const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
              const since = performance.now();
              root.querySelector("[part~=bell]").click();
              await painted();
              const took = performance.now() - since;
              if (!root.querySelector("article")) throw new Error("the list is not there");
              root.querySelector("[part~=bell]").click();
              await painted();
              return took;
            }"""
        )
        for _ in range(7)
    ]
    return min(took)
