"""What the demo promises, seen in a real browser on two real nodes."""

from __future__ import annotations

import pytest
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
    screen.post("Ada", title="For Ada only")
    expect(screen.ada.titles).to_contain_text("For Ada only")
    screen.post(title="For both")
    expect(screen.bo.titles).to_have_text(["Unread: For both"])
    expect(screen.ada.titles).to_have_text(["Unread: For both", "Unread: For Ada only"])


def test_one_post_has_as_many_targets_as_one_likes(screen: Screen) -> None:
    screen.bo.join("project:apollo")
    screen.post("Ada", "A room", title="For Ada and a room")
    for person in (screen.ada, screen.bo):
        expect(person.toasts).to_contain_text("For Ada and a room")
    expect(screen.page.locator("#composer pre")).to_contain_text(
        '"to": {"users":["ada"],"room":"project:apollo"}'
    )
    expect(screen.ada.titles).to_have_text(["Unread: For Ada and a room"])
    expect(screen.bo.items).to_have_count(0)  # a room has no inbox
    screen.post("Everyone", title="For whoever is there")
    for person in (screen.ada, screen.bo):
        expect(person.toasts.filter(has_text="For whoever is there")).to_have_count(1)


def test_a_newer_one_with_the_same_key_takes_the_place_of_the_older_one(screen: Screen) -> None:
    composer = screen.page.locator("#composer")
    composer.get_by_text("When, for how long, instead of what").click()
    composer.get_by_label("Collapse key").fill("build:main")
    composer.get_by_label("Kept for").select_option(label="a day")
    screen.post("Ada", title="Build 812 runs")
    expect(screen.ada.titles).to_have_text(["Unread: Build 812 runs"])
    screen.post("Ada", title="Build 812 passed")
    expect(screen.ada.titles).to_have_text(["Unread: Build 812 passed"])
    expect(screen.ada.count).to_have_text("1")
    expect(screen.ada.toasts).to_have_count(1)  # the one that announced what is gone has gone too
    expect(composer.locator("pre")).to_contain_text('"ttl": 86400')


def test_what_is_scheduled_comes_at_its_time_and_not_before(screen: Screen) -> None:
    composer = screen.page.locator("#composer")
    composer.get_by_text("When, for how long, instead of what").click()
    composer.get_by_label("Deliver").select_option(label="in ten seconds")
    screen.post("Ada", title="Later")
    expect(screen.answer()).to_contain_text("Scheduled for")
    composer.get_by_label("Deliver").select_option(label="now")
    screen.post("Ada", title="Now")
    expect(screen.ada.titles).to_have_text(["Unread: Now"])
    expect(screen.ada.titles).to_have_text(["Unread: Later", "Unread: Now"])


@pytest.mark.parametrize("deliver", ["now", "in an hour"])
def test_the_last_one_can_be_retracted(screen: Screen, deliver: str) -> None:
    composer = screen.page.locator("#composer")
    retract = composer.get_by_role("button", name="Retract the last one")
    expect(retract).to_be_disabled()
    screen.post("Ada", title="Stays")
    composer.get_by_text("When, for how long, instead of what").click()
    composer.get_by_label("Deliver").select_option(label=deliver)
    screen.post("Ada", title="Sent by mistake")
    expect(screen.ada.items).to_have_count(2 if deliver == "now" else 1)
    retract.click()
    expect(screen.answer()).to_contain_text("Retracted")
    expect(screen.ada.titles).to_have_text(["Unread: Stays"])
    expect(screen.ada.toasts.locator(".toast-title")).to_have_text(["Stays"])
    expect(retract).to_be_disabled()


def test_what_is_kept_for_no_time_is_told_and_not_kept(screen: Screen) -> None:
    composer = screen.page.locator("#composer")
    composer.get_by_text("When, for how long, instead of what").click()
    composer.get_by_label("Kept for").select_option(label="no time at all")
    expect(composer).to_contain_text("whoever is not connected now never sees it")
    screen.post("Ada", title="Only now")
    expect(screen.ada.toasts).to_contain_text("Only now")
    expect(screen.ada.items).to_have_count(0)


def test_priority_decides_how_loud_it_is(screen: Screen) -> None:
    ada = screen.ada
    screen.post("Ada", title="Quiet", priority="low")
    expect(ada.count).to_have_text("1")
    expect(ada.toasts).to_have_count(0)
    screen.post("Ada", title="Loud", priority="urgent")
    expect(ada.strip.locator("[aria-live=assertive] .toast")).to_contain_text("Loud")
    screen.post("Ada", title="Usual")
    expect(ada.strip.locator("[aria-live=polite] .toast")).to_contain_text("Usual")
    ada.toasts.filter(has_text="Loud").get_by_role("button", name="Dismiss").click()
    expect(ada.strip.locator("[aria-live=assertive] .toast")).to_have_count(0)


def test_a_flood_of_urgent_ones_takes_turns(screen: Screen) -> None:
    toasts = screen.ada.toasts
    for number in (1, 2, 3):
        screen.demo.post({"to": {"user": "ada"}, "title": f"Urgent {number}", "priority": "urgent"})
    expect(screen.ada.count).to_have_text("3")
    expect(toasts.locator(".toast-title")).to_have_text(["Urgent 1", "Urgent 2"])
    toasts.first.get_by_role("button", name="Dismiss").click()
    expect(toasts.locator(".toast-title")).to_have_text(["Urgent 2", "Urgent 3"])
    expect(toasts.first.get_by_role("button", name="Dismiss")).to_be_focused()


def test_dismissing_a_toast_moves_the_focus_to_the_next(screen: Screen) -> None:
    for number in (1, 2, 3):
        screen.post("Ada", title=f"Toast {number}", priority="high")
    toasts = screen.ada.toasts
    expect(toasts).to_have_count(3)
    toasts.nth(1).get_by_role("button", name="Dismiss: Toast 2").focus()
    screen.page.keyboard.press("Enter")
    expect(screen.page.get_by_role("button", name="Dismiss: Toast 3")).to_be_focused()
    screen.page.keyboard.press("Enter")  # the last of them: back to the one before
    expect(screen.page.get_by_role("button", name="Dismiss: Toast 1")).to_be_focused()
    screen.page.keyboard.press("Enter")
    expect(toasts).to_have_count(0)
    expect(screen.page.locator("#people")).to_be_focused()


def test_reload_and_it_is_all_still_there(screen: Screen) -> None:
    for number in (1, 2):
        screen.post(title=f"Number {number}")
        expect(screen.ada.items).to_have_count(number)
    screen.page.reload()
    for person in (screen.ada, screen.bo):
        expect(person.titles).to_have_text(["Unread: Number 2", "Unread: Number 1"])
        expect(person.count).to_have_text("2")
    expect(screen.ada.toasts).to_have_count(0)


def test_what_is_read_on_the_laptop_is_read_on_the_phone_and_in_another_tab(screen: Screen) -> None:
    ada = screen.ada
    other = Screen(screen.page.context.new_page(), screen.demo)
    other.open()
    for title in ("First", "Second"):
        screen.post("Ada", title=title)
    for here in (ada, other.ada):
        expect(here.titles).to_have_text(["Unread: Second", "Unread: First"])
        expect(here.count).to_have_text("2")
    ada.bell.click()
    ada.panel.get_by_role("button", name="Unread: First").click()
    for here in (ada, other.ada):
        expect(here.titles).to_have_text(["Unread: Second", "First"])
        expect(here.count).to_have_text("1")
    other.ada.phone.get_by_role("button", name="Mark all as read").click()
    for here in (ada, other.ada):
        expect(here.unread).to_have_count(0)
        expect(here.count).to_be_hidden()
    assert other.complaints == []


def test_the_bell_says_what_is_new_and_opens_by_keyboard(screen: Screen) -> None:
    screen.post("Bo", title="News")
    expect(screen.bo.bell).to_have_accessible_name("Notifications for Bo: 1 unread")
    screen.bo.bell.focus()
    screen.page.keyboard.press("Enter")
    expect(screen.bo.panel).to_be_visible()
    screen.bo.panel.get_by_role("button", name="Mark all as read").click()
    expect(screen.bo.bell).to_have_accessible_name("Notifications for Bo: nothing unread")
    screen.page.keyboard.press("Escape")
    expect(screen.bo.panel).to_be_hidden()
    expect(screen.bo.bell).to_be_focused()
    expect(screen.bo.titles).to_have_text(["News"])


def test_what_is_missed_during_a_cut_arrives_in_order_and_recovered(screen: Screen) -> None:
    ada = screen.ada
    screen.post("Ada", title="Before")
    expect(ada.items).to_have_count(1)
    ada.button("Cut my connection").click()
    expect(ada.card.locator(".bar .status-text")).to_contain_text("Away for 5 s")
    expect(ada.button("Cut my connection")).to_be_disabled()
    expect(ada.badge).to_have_text("Back on node-1. Missed 3, got all 3.")
    ada.live_on("node-1")
    news = [f"Unread: Missed call {number} of 3" for number in (3, 2, 1)]
    expect(ada.titles).to_have_text([*news, "Unread: Before"])
    ada.bell.click()
    expect(ada.panel.get_by_text("Missed, then delivered")).to_have_count(3)
    expect(screen.bo.items).to_have_count(0)


def test_a_cut_before_the_first_notification_loses_nothing_either(screen: Screen) -> None:
    screen.bo.button("Cut my connection").click()
    expect(screen.bo.badge).to_have_text("Back on node-2. Missed 3, got all 3.")
    expect(screen.bo.titles).to_have_text([f"Unread: Missed call {number} of 3" for number in (3, 2, 1)])


def test_a_killed_node_sends_its_people_to_the_other_one(screen: Screen) -> None:
    screen.ada.join("project:apollo")
    screen.post("Ada", title="Before")
    expect(screen.ada.items).to_have_count(1)
    screen.ada.button("Kill node-1").click()
    screen.ada.live_on("node-2")
    expect(screen.ada.badge).to_contain_text("Back on node-")
    screen.post("A room", title="Still in the room")
    expect(screen.ada.toasts.last).to_contain_text("Still in the room")
    screen.bo.live_on("node-2")
    expect(screen.bo.badge).to_be_hidden()
    expect(screen.page.locator(".node[data-alive=true]")).to_have_count(2)


def test_a_drained_node_hands_its_people_over(screen: Screen) -> None:
    screen.post("Bo", title="Before")
    expect(screen.bo.items).to_have_count(1)
    screen.bo.button("Drain node-2").click()
    screen.bo.live_on("node-1")
    expect(screen.bo.badge).to_contain_text("Back on node-")
    screen.post("Bo", title="After")
    expect(screen.bo.titles).to_have_text(["Unread: After", "Unread: Before"])


def test_a_thousand_arrive_in_order_though_a_node_is_killed_meanwhile(screen: Screen) -> None:
    page = screen.page
    page.get_by_role("button", name="Hammer 1,000").click()
    expect(page.locator("[data-lane=ada] .figure")).not_to_have_text("0")
    screen.ada.button("Kill node-1").click()
    for lane in ("ada", "bo"):
        verdict = page.locator(f"[data-lane={lane}] .verdict")
        expect(verdict).to_have_text("All 1,000, in order, none twice.")
    screen.ada.live_on("node-2")
    expect(page.locator("#rate")).to_contain_text("POST to screen")


def test_a_room_is_joined_and_left(screen: Screen) -> None:
    screen.bo.join("project:apollo")
    screen.post("A room", title="To the room")
    expect(screen.bo.toasts).to_contain_text("To the room")
    screen.bo.button("Leave project:apollo").click()
    expect(screen.bo.chips).to_have_count(0)
    screen.post("A room", title="To nobody")
    screen.post("Everyone", title="To everyone")
    expect(screen.bo.toasts.locator(".toast-title")).to_have_text(["To the room", "To everyone"])
    expect(screen.ada.toasts.locator(".toast-title")).to_have_text(["To everyone"])


def test_a_room_that_may_not_be_joined_is_refused_in_words(screen: Screen) -> None:
    screen.ada.card.get_by_text("Rooms", exact=True).click()
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
    screen.post("Ada", title="It's here", priority="high")
    page.get_by_text("The same from a terminal").click()
    code = page.locator("#composer pre")
    expect(code).to_be_visible()
    expect(code).to_contain_text('"to": {"users":["ada"]}')
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
