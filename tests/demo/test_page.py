"""What the demo promises, seen in a real browser on two real nodes."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.demo.screen import Screen


def test_a_post_reaches_both_people_as_toast_badge_and_item(screen: Screen) -> None:
    screen.post(title="Build failed", body="main #812", link="https://ci.example/812", category="ci")
    expect(screen.answer()).to_contain_text("Accepted in")
    for person in (screen.ada, screen.bo):
        expect(person.toasts).to_contain_text("Build failed")
        expect(person.count).to_have_text("1")
        expect(person.items).to_contain_text("main #812")
        expect(person.items.get_by_role("link")).to_have_attribute("href", "https://ci.example/812")
    expect(screen.page).to_have_title("(2) notify demo")


def test_a_post_to_one_person_reaches_nobody_else(screen: Screen) -> None:
    screen.post(to="Ada", title="For Ada only")
    expect(screen.ada.titles).to_contain_text("For Ada only")
    screen.post(title="For everyone")
    expect(screen.bo.titles).to_have_text(["New: For everyone"])
    expect(screen.ada.titles).to_have_text(["New: For everyone", "New: For Ada only"])


def test_priority_decides_how_loud_it_is(screen: Screen) -> None:
    ada = screen.ada
    screen.post(to="Ada", title="Quiet", priority="low")
    expect(ada.count).to_have_text("1")
    expect(ada.toasts).to_have_count(0)
    screen.post(to="Ada", title="Loud", priority="urgent")
    expect(ada.card.locator("[aria-live=assertive] .toast")).to_contain_text("Loud")
    screen.post(to="Ada", title="Usual")
    expect(ada.card.locator("[aria-live=polite] .toast")).to_contain_text("Usual")
    ada.card.locator(".toast", has_text="Loud").get_by_role("button", name="Dismiss").click()
    expect(ada.card.locator("[aria-live=assertive] .toast")).to_have_count(0)


def test_a_flood_of_urgent_ones_takes_turns(screen: Screen) -> None:
    toasts = screen.ada.toasts
    for number in (1, 2, 3):
        screen.demo.post({"to": {"user": "ada"}, "title": f"Urgent {number}", "priority": "urgent"})
    expect(screen.ada.count).to_have_text("3")
    expect(toasts.locator(".toast-title")).to_have_text(["Urgent 1", "Urgent 2"])
    toasts.first.get_by_role("button", name="Dismiss").click()
    expect(toasts.locator(".toast-title")).to_have_text(["Urgent 2", "Urgent 3"])
    expect(toasts.first.get_by_role("button", name="Dismiss")).to_be_focused()


def test_the_bell_marks_everything_as_seen(screen: Screen) -> None:
    screen.post(to="Bo", title="News")
    expect(screen.bo.bell).to_have_accessible_name("Notifications for Bo: 1 new. Mark all as seen")
    screen.bo.bell.focus()
    screen.page.keyboard.press("Enter")
    expect(screen.bo.count).to_be_hidden()
    expect(screen.bo.bell).to_have_accessible_name("Notifications for Bo: nothing new")
    expect(screen.bo.titles).to_have_text(["News"])


def test_what_is_missed_during_a_cut_arrives_in_order_and_recovered(screen: Screen) -> None:
    ada = screen.ada
    screen.post(to="Ada", title="Before")
    expect(ada.items).to_have_count(1)
    ada.button("Cut my connection").click()
    expect(ada.card.locator(".status-text")).to_contain_text("Away for 5 s")
    expect(ada.button("Cut my connection")).to_be_disabled()
    expect(ada.badge).to_have_text("recovered: true, 3 missed", timeout=20_000)
    ada.live_on("node-1")
    news = [f"New: Missed call {number} of 3" for number in (3, 2, 1)]
    expect(ada.titles).to_have_text([*news, "New: Before"])
    expect(ada.card.locator(".item", has_text="missed, recovered")).to_have_count(3)
    expect(screen.bo.items).to_have_count(0)


def test_a_cut_before_the_first_notification_loses_nothing_either(screen: Screen) -> None:
    screen.bo.button("Cut my connection").click()
    expect(screen.bo.badge).to_have_text("recovered: true, 3 missed", timeout=20_000)
    expect(screen.bo.titles).to_have_text([f"New: Missed call {number} of 3" for number in (3, 2, 1)])


def test_a_killed_node_sends_its_people_to_the_other_one(screen: Screen) -> None:
    screen.ada.join("project:apollo")
    screen.post(to="Ada", title="Before")
    expect(screen.ada.items).to_have_count(1)
    screen.ada.button("Kill node-1").click()
    screen.ada.live_on("node-2")
    expect(screen.ada.badge).to_contain_text("recovered: true")
    screen.post(to="A room", title="Still in the room")
    expect(screen.ada.titles.first).to_contain_text("Still in the room")
    screen.bo.live_on("node-2")
    expect(screen.bo.badge).to_be_hidden()
    expect(screen.page.locator(".node[data-alive=true]")).to_have_count(2, timeout=20_000)


def test_a_drained_node_hands_its_people_over(screen: Screen) -> None:
    screen.post(to="Bo", title="Before")
    expect(screen.bo.items).to_have_count(1)
    screen.bo.button("Drain node-2").click()
    screen.bo.live_on("node-1", timeout=30_000)
    expect(screen.bo.badge).to_contain_text("recovered: true")
    screen.post(to="Bo", title="After")
    expect(screen.bo.titles).to_have_text(["New: After", "New: Before"])


def test_a_thousand_arrive_in_order_though_a_node_is_killed_meanwhile(screen: Screen) -> None:
    page = screen.page
    page.get_by_role("button", name="Hammer 1,000").click()
    expect(page.locator("[data-lane=ada] .figure")).not_to_have_text("0")
    screen.ada.button("Kill node-1").click()
    for lane in ("ada", "bo"):
        verdict = page.locator(f"[data-lane={lane}] .verdict")
        expect(verdict).to_have_text("All 1,000, in order, none twice.", timeout=30_000)
    screen.ada.live_on("node-2")
    expect(page.locator("#rate")).to_contain_text("POST to screen")
    expect(screen.bo.count).to_have_text("999+")


def test_a_room_is_joined_and_left(screen: Screen) -> None:
    screen.bo.join("project:apollo")
    screen.post(to="A room", title="To the room")
    expect(screen.bo.titles).to_have_text(["New: To the room"])
    screen.bo.button("Leave project:apollo").click()
    expect(screen.bo.chips).to_have_count(0)
    screen.post(to="A room", title="To nobody")
    screen.post(title="To everyone")
    expect(screen.bo.titles).to_have_text(["New: To everyone", "New: To the room"])
    expect(screen.ada.titles).to_have_text(["New: To everyone"])


def test_a_room_that_may_not_be_joined_is_refused_in_words(screen: Screen) -> None:
    screen.ada.card.get_by_label("Room", exact=True).fill("@secret")
    screen.ada.button("Join").click()
    expect(screen.ada.card.locator(".rooms .answer")).not_to_be_empty()
    expect(screen.ada.chips).to_have_count(0)


def test_people_talk_to_each_other_over_the_nodes(screen: Screen) -> None:
    screen.ada.say("Bo", "Are you on the other node?")
    expect(screen.bo.messages).to_contain_text("Are you on the other node?")
    expect(screen.bo.messages.locator(".who")).to_have_text("Ada")
    screen.ada.join("project:apollo")
    screen.bo.join("project:apollo")
    screen.bo.say("project:apollo", "Hello, room")
    expect(screen.ada.messages.last).to_contain_text("Hello, room")
    expect(screen.bo.messages.filter(has_text="Hello, room")).to_have_count(1)


def test_the_curl_line_is_the_form(page: Page, screen: Screen) -> None:
    screen.post(to="Ada", title="It's here", priority="high")
    code = page.locator("#composer pre")
    expect(code).to_contain_text('"to": {"user":"ada"}')
    expect(code).to_contain_text("It'\\''s here")
    expect(code).to_contain_text(f"{screen.demo.config['api']['url']}/v1/notifications")


def test_what_the_api_refuses_is_said_at_the_field(screen: Screen) -> None:
    screen.post(title="A link that is none", link="javascript:alert(1)")
    field = screen.page.get_by_label("Link", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(screen.page.locator("#url-error")).not_to_be_empty()
    expect(screen.answer()).to_contain_text("(invalid)")
    screen.complaints.clear()  # Chromium logs every answer of 422


def test_a_service_that_is_away_is_said_so(screen: Screen) -> None:
    screen.page.route("**/api/notifications", lambda route: route.abort())
    screen.post(title="Into the void")
    expect(screen.answer()).to_contain_text("Nothing was posted")
    screen.complaints.clear()  # Chromium logs the failed request


def test_the_browser_being_offline_is_said_so(screen: Screen) -> None:
    screen.page.context.set_offline(True)
    expect(screen.page.locator("#banner")).to_contain_text("offline")
    screen.page.context.set_offline(False)
    expect(screen.page.locator("#banner")).to_be_hidden()
    screen.ada.live_on("node-")
