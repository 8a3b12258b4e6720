"""The example application does what its README says, in two real browsers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.example.conftest import Example, Person, apart

pytestmark = pytest.mark.timeout(120)


def give(page: Page, title: str, assignee: str) -> None:
    page.get_by_label("What").fill(title)
    page.get_by_label("Who").fill(assignee)
    page.get_by_role("button", name="Add").click()


def row(page: Page, title: str):
    return page.get_by_role("listitem").filter(has_text=title)


def toast(page: Page, title: str):
    return page.get_by_role("status").get_by_role("link").filter(has_text=title)


def test_a_task_given_is_seen_at_once_and_so_is_that_it_is_done(person: Person):
    ada, bo = person("ada"), person("bo")
    give(ada, "Water <b>the</b> plants", "bo")
    expect(row(ada, "Water <b>the</b> plants")).to_be_visible()
    expect(toast(bo, "Ada gave you a task")).to_contain_text("Water <b>the</b> plants")
    expect(row(bo, "Water <b>the</b> plants")).to_be_visible()
    expect(ada.get_by_role("status").get_by_role("link")).to_have_count(0)
    row(bo, "Water").get_by_role("button", name="Done").click()
    expect(toast(ada, "Bo is done")).to_be_visible()
    expect(row(ada, "Water").get_by_role("button")).to_have_count(0)
    expect(row(ada, "Water")).to_have_class("done")


def badge(page: Page):
    return page.locator("notify-inbox").get_by_role("button", name="Notifications").first


def test_the_bell_has_what_came_while_somebody_was_away_until_it_is_done(person: Person):
    hal, ida = person("hal"), person("ida")
    ida.get_by_role("button", name="Sign out").click()
    expect(ida.get_by_label("Your name")).to_be_visible()
    for title in ("First <i>thing</i>", "Second thing"):
        give(hal, title, "ida")
        expect(row(hal, title)).to_be_visible()
    ida.get_by_label("Your name").fill("ida")
    ida.get_by_role("button", name="Sign in").click()
    expect(badge(ida)).to_have_accessible_name("Notifications, 2 unread")
    expect(toast(ida, "Hal gave you")).to_have_count(0)
    badge(ida).click()
    expect(ida.locator("notify-inbox").get_by_text("First <i>thing</i>")).to_be_visible()
    ida.keyboard.press("Escape")
    row(ida, "Second thing").get_by_role("button", name="Done").click()
    expect(badge(ida)).to_have_accessible_name("Notifications, 1 unread")
    expect(badge(hal)).to_have_accessible_name("Notifications, 1 unread")


def test_who_is_cut_off_for_a_while_is_told_afterwards(person: Person, example: Example):
    cleo, dan = person("cleo"), person("dan")
    node = example.cluster.nodes[1]
    node.kill()
    expect(dan.get_by_text("connecting …")).to_be_visible()
    give(cleo, "While the node is down", "dan")
    expect(row(cleo, "While the node is down")).to_be_visible()
    apart(node.start())
    expect(dan.get_by_text("live", exact=True)).to_be_visible()
    expect(toast(dan, "Cleo gave you a task")).to_have_count(1)


def test_while_no_node_takes_a_post_tasks_work_and_the_word_comes_later(person: Person, example: Example):
    eva, finn = person("eva"), person("finn")
    node = example.cluster.nodes[0]
    node.kill()
    give(eva, "Without anybody to post to", "finn")
    expect(row(eva, "Without anybody")).to_be_visible()
    finn.reload()
    expect(row(finn, "Without anybody")).to_be_visible()
    expect(finn.get_by_text("live", exact=True)).to_be_visible()
    apart(node.start())
    expect(toast(finn, "Eva gave you a task")).to_have_count(1)


def test_what_is_wrong_is_told_and_nobody_is_let_in_without_a_session(person: Person, example: Example):
    gil = person("gil")
    give(gil, "For nobody", "not a name!")
    expect(gil.get_by_role("alert")).to_contain_text("see what you typed")
    assert gil.request.get(f"{example.url}/api/token").status == 200
    gil.get_by_role("button", name="Sign out").click()
    expect(gil.get_by_label("Your name")).to_be_visible()
    assert gil.request.get(f"{example.url}/api/token").status == 401
    assert gil.request.post(f"{example.url}/api/tasks", data={"title": "x", "assignee": "bo"}).status == 401
