"""The Inbox in a real browser over a real socket: counts that cannot drift, lists that miss nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.inbox_element.bell import Bell
from tests.inbox_element.service import Service

Visit = Callable[..., Bell]


def soon(seconds: float) -> str:
    """The time in so many seconds, as RFC 3339 with milliseconds."""
    at = time.time() + seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"


def loaded(bell: Bell) -> None:
    bell.js("page.inbox.load()")
    bell.until("page.inbox.loaded && page.inbox.state === 'live'")


def titles(bell: Bell) -> list[str]:
    shown: list[str] = bell.js("page.inbox.items.map((item) => item.title)")
    return shown


def counts(bell: Bell) -> dict[str, Any]:
    shown: dict[str, Any] = bell.js("page.inbox.counts")
    return shown


def test_the_badge_is_right_before_anything_is_listed(visit: Visit, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    service.mark(user, "read", ids[:1])
    bell = visit()
    bell.until("page.inbox.counts.unread === 2 && page.inbox.counts.unseen === 2")
    assert bell.asked("inbox:list") == []
    service.post(user, "Four")
    bell.until("page.inbox.counts.unread === 3 && page.inbox.counts.unseen === 3")
    assert bell.js("page.inbox.items") == []


def test_a_socket_that_was_there_first_is_asked_for_the_counts(
    bell: Bell, service: Service, user: str
) -> None:
    service.post_many(user, ["One", "Two"])
    bell.js("(page.second = new page.Inbox(page.socket), null)")
    bell.until("page.second.counts.total === 2 && page.second.counts.unseen === 2")
    assert bell.js("page.second.items") == []
    assert [body["limit"] for body in bell.asked("inbox:list")] == [0]


def test_what_arrives_is_on_top_and_told_once(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "Before")
    loaded(bell)
    identifier = service.post(user, "After", body="Text", category="ci", data={"build": 1})
    bell.until("page.inbox.items.length === 2")
    assert titles(bell) == ["After", "Before"]
    assert bell.js("page.arrivals")[-1:] == [identifier]
    assert counts(bell) == {"unseen": 2, "unread": 2, "total": 2}
    bell.agrees_with(lambda: service.inbox(user))


def test_an_event_of_ones_own_name_arrives_as_well(bell: Bell, service: Service, user: str) -> None:
    loaded(bell)
    service.post(user, "Deployed", event="deploy")
    bell.until("page.inbox.items.length === 1")
    assert counts(bell)["unread"] == 1


def test_what_is_in_no_inbox_is_left_alone(bell: Bell, service: Service, user: str) -> None:
    loaded(bell)
    service.post(user, "Ephemeral", ttl=0)
    service.post(user, "Kept out", inbox=False)
    service.post(user, "Kept")
    bell.until("page.inbox.items.length === 1")
    assert titles(bell) == ["Kept"]
    assert len(bell.js("page.arrivals")) == 1


def test_arrivals_are_marked_delivered_in_one_go(bell: Bell, service: Service, user: str) -> None:
    loaded(bell)
    ids = service.post_many(user, [f"n {n}" for n in range(20)])
    bell.until("page.asked.some(([name, body]) => name === 'inbox:mark')")
    marks = bell.asked("inbox:mark")
    assert [mark["as"] for mark in marks] == ["delivered"]
    assert sorted(marks[0]["ids"]) == sorted(ids)


def test_marks_show_at_once_and_stay_when_the_service_agrees(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    loaded(bell)
    bell.js("page.wire.hold_ack()")
    bell.js("page.wire.hold_event()")
    bell.js("(page.inbox.mark('read', [it]), null)", ids[0])
    assert counts(bell) == {"unseen": 2, "unread": 2, "total": 3}
    bell.until("page.wire.held.ack.length >= 1")
    bell.js("page.wire.release_ack()")
    assert counts(bell) == {"unseen": 2, "unread": 2, "total": 3}
    bell.until("page.wire.held.event.length >= 1")
    bell.js("page.wire.release_event()")
    assert counts(bell) == {"unseen": 2, "unread": 2, "total": 3}
    bell.agrees_with(lambda: service.inbox(user))


@pytest.mark.parametrize("first", ["event", "ack"])
def test_a_count_does_not_flicker_whichever_answer_is_first(
    bell: Bell, service: Service, user: str, first: str
) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    loaded(bell)
    other = {"event": "ack", "ack": "event"}[first]
    bell.js(f"page.wire.hold_{other}()")
    bell.js(
        """(page.told = [], page.inbox.addEventListener("change", () => {
             page.told.push(page.inbox.counts.unread); }), null)"""
    )
    bell.js("(page.inbox.mark('archived', [it]).then((answer) => { page.answer = answer; }), null)", ids[1])
    bell.until(f"page.wire.held.{other}.length >= 1")
    bell.js(f"page.wire.release_{other}()")
    bell.until("page.answer")
    bell.agrees_with(lambda: service.inbox(user))
    assert set(bell.js("page.told")) == {2}


def test_a_refused_mark_is_taken_back(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two"])
    loaded(bell)
    bell.js("page.wire.hold_ack()")
    bell.js(
        """(page.inbox.mark('snoozed', [it], {until: Date.now() - 1000})
             .then((answer) => { page.answer = answer; }), null)""",
        ids[0],
    )
    assert titles(bell) == ["Two"]
    assert counts(bell)["total"] == 1
    bell.until("page.wire.held.ack.length >= 1")
    bell.js("page.wire.release_ack()")
    bell.until("page.answer")
    assert bell.js("page.answer.ok") is False
    assert titles(bell) == ["Two", "One"]
    assert counts(bell) == {"unseen": 2, "unread": 2, "total": 2}
    assert len(bell.js("page.errors")) == 1
    assert bell.js("page.inbox.error.code") == bell.js("page.errors[0]")


def test_mark_all_leaves_alone_what_arrives_meanwhile(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, ["One", "Two"])
    loaded(bell)
    bell.js("page.wire.hold_event()")
    service.post(user, "Meanwhile")
    bell.js("page.inbox.markAll('read')")
    bell.js("page.wire.release_event()")
    bell.agrees_with(lambda: service.inbox(user))
    assert counts(bell) == {"unseen": 1, "unread": 1, "total": 3}


def test_mark_all_covers_what_is_not_loaded(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"n {n}" for n in range(50)])
    loaded(bell)
    bell.js("page.wire.hold_ack()")
    bell.js("page.wire.hold_event()")
    bell.js("(page.inbox.markAll('read'), null)")
    assert counts(bell) == {"unseen": 0, "unread": 0, "total": 50}
    bell.js("(page.wire.release_ack(), page.wire.release_event())")
    bell.agrees_with(lambda: service.inbox(user))
    assert counts(bell) == {"unseen": 0, "unread": 0, "total": 50}


def test_archive_all_clears_every_row(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"n {n}" for n in range(50)])
    loaded(bell)
    bell.js("page.inbox.markAll('archived')")
    assert titles(bell) == []
    bell.agrees_with(lambda: service.inbox(user))
    assert counts(bell) == {"unseen": 0, "unread": 0, "total": 0}
    bell.until("page.inbox.hasMore === false")
    assert titles(bell) == []


def test_two_tabs_show_the_same(visit: Visit, service: Service, user: str) -> None:
    ids = service.post_many(user, [f"n {n}" for n in range(6)])
    one, two = visit(), visit()
    for bell in (one, two):
        bell.is_live()
        loaded(bell)
    one.js("page.inbox.mark('read', it)", ids[:2])
    one.js("page.inbox.mark('archived', it)", ids[5:])
    two.agrees_with(lambda: service.inbox(user))
    one.js("page.inbox.mark('unread', it)", ids[:1])
    two.agrees_with(lambda: service.inbox(user))
    one.js("page.inbox.mark('unarchived', it)", ids[5:])
    for bell in (one, two):
        bell.agrees_with(lambda: service.inbox(user))
        assert titles(bell)[0] == "n 5"


def test_two_tabs_on_two_nodes_agree_after_a_storm(visit: Visit, service: Service, user: str) -> None:
    one, two = visit(), visit(url=service.elsewhere or service.url)
    for bell in (one, two):
        bell.is_live()
        loaded(bell)
    rng = random.Random(20)
    ids: list[str] = []
    for number in range(500):
        what = rng.choice(["post", "post", "read", "unread", "seen", "archived", "unarchived", "deleted"])
        if what == "post" or not ids:
            key = {"collapse_key": f"k{number % 5}"} if rng.random() < 0.3 else {}
            ids.append(service.post(user, f"n {number}", **key))
            continue
        some = rng.sample(ids, min(len(ids), 3))
        who = rng.choice([one, two, None])
        if who is None:
            service.mark(user, what, some)
        else:
            who.js(f"(page.inbox.mark('{what}', it).catch(() => {{}}), null)", some)
    for bell in (one, two):
        bell.agrees_with(lambda: service.inbox(user))


def test_a_lost_change_is_found_and_the_list_fetched_again(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    loaded(bell)
    bell.js("(page.wire.drop = 2, null)")
    service.mark(user, "archived", ids[:1])
    service.post(user, "Lost")
    bell.until("page.wire.drop === 0")
    service.mark(user, "read", ids[1:2])
    bell.agrees_with(lambda: service.inbox(user))
    assert titles(bell) == ["Lost", "Three", "Two"]


def test_a_recovery_ends_as_the_service_has_it(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    loaded(bell)
    bell.js(
        "(page.socket.io.reconnectionDelay(1500), page.socket.io.reconnectionDelayMax(1500), page.wire.cut())"
    )
    bell.until("page.inbox.state === 'offline'")
    service.mark(user, "read", ids[:1])
    service.mark(user, "archived", ids[1:2])
    service.post(user, "Missed")
    bell.until("page.socket.connected")
    assert bell.js("page.socket.recovered") is True
    bell.agrees_with(lambda: service.inbox(user))
    assert titles(bell) == ["Missed", "Three", "One"]
    assert len(bell.js("page.arrivals")) == 4


def test_a_connect_that_did_not_recover_lists_again(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    loaded(bell)
    bell.js("(page.socket.disconnect(), null)")
    service.mark(user, "deleted", ids[2:])
    service.post(user, "Missed")
    bell.js("(page.socket.connect(), null)")
    bell.is_live()
    bell.agrees_with(lambda: service.inbox(user))
    assert titles(bell) == ["Missed", "Two", "One"]


def test_a_resync_does_not_shorten_what_was_scrolled_through(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"n {n}" for n in range(150)])
    loaded(bell)
    for _ in range(6):
        bell.js("page.inbox.more()")
    assert bell.js("page.inbox.items.length") == 140
    bell.js("(page.socket.disconnect(), null)")
    service.post(user, "New")
    bell.js("(page.socket.connect(), null)")
    bell.is_live()
    bell.until("page.inbox.items[0].title === 'New'")
    assert bell.js("page.inbox.items.length") == 140
    bell.js("page.inbox.more()")
    assert bell.js("new Set(page.inbox.items.map(({id}) => id)).size") == 151
    assert bell.js("page.inbox.hasMore") is False


def test_waking_up_asks_with_the_rev_that_is_known(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "One")
    loaded(bell)
    before = len(bell.asked("inbox:list"))
    bell.js("document.dispatchEvent(new Event('visibilitychange'))")
    bell.until("page.asked.filter(([name]) => name === 'inbox:list').length > it", before)
    assert bell.asked("inbox:list")[-1]["if_rev"] == bell.js("page.inbox.rev")
    bell.is_live()
    assert titles(bell) == ["One"]


def test_a_reset_is_always_taken(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, ["One", "Two"])
    loaded(bell)
    rev = bell.js("page.inbox.rev")
    bell.js("page.wire.hold_ack()")
    bell.js(
        """page.socket.onevent({type: 2, nsp: '/', data: ['inbox:changed', {
             as: 'reset', rev: it, counts: {unseen: 7, unread: 8, total: 9}}]})""",
        rev - 1000,
    )
    assert bell.js("page.inbox.rev") == rev - 1000
    assert counts(bell) == {"unseen": 7, "unread": 8, "total": 9}
    bell.js("page.wire.release_ack()")
    bell.agrees_with(lambda: service.inbox(user))


def test_what_is_not_newer_is_ignored(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, ["One", "Two"])
    loaded(bell)
    told = bell.js("({rev: page.inbox.rev, id: page.inbox.items[0].id, place: page.inbox.items[0].place})")
    old = [
        [
            "inbox:changed",
            {
                "as": "archived",
                "ids": [told["id"]],
                "at": soon(0),
                "rev": told["rev"],
                "counts": {"unseen": 9, "unread": 9, "total": 9},
            },
        ],
        [
            "notification",
            {
                "id": told["id"],
                "title": "Again",
                "inbox": {"rev": told["place"], "place": told["place"], "unseen": 9, "unread": 9},
            },
        ],
        [
            "notification:removed",
            {
                "ids": [told["id"]],
                "reason": "retracted",
                "rev": told["rev"] - 1,
                "counts": {"unseen": 0, "unread": 0, "total": 0},
            },
        ],
    ]
    for data in old:
        bell.js("page.socket.onevent({type: 2, nsp: '/', data: it})", data)
    assert titles(bell) == ["Two", "One"]
    assert counts(bell) == {"unseen": 2, "unread": 2, "total": 2}


def test_what_arrives_while_a_list_is_under_way_is_in_it_once(
    bell: Bell, service: Service, user: str
) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    bell.js("page.wire.hold_ack()")
    bell.js("(page.inbox.load(), null)")
    bell.until("page.wire.held.ack.length >= 1")
    service.post(user, "Overtaking")
    service.mark(user, "read", ids[:1])
    service.mark(user, "archived", ids[1:2])
    bell.until("page.inbox.rev === it", service.inbox(user)["rev"])
    bell.js("page.wire.release_ack()")
    bell.until("page.inbox.loaded")
    assert titles(bell) == ["Overtaking", "Three", "One"]
    assert bell.js("page.inbox.items[2].read_at") is not None
    bell.agrees_with(lambda: service.inbox(user))


def test_an_arrival_behind_the_list_that_has_it_is_announced_and_not_doubled(
    bell: Bell, service: Service, user: str
) -> None:
    bell.js("page.wire.hold_event()")
    identifier = service.post(user, "In the list first")
    bell.until("page.wire.held.event.length >= 1")
    loaded(bell)
    assert titles(bell) == ["In the list first"]
    bell.js("page.wire.release_event()")
    assert titles(bell) == ["In the list first"]
    assert bell.js("page.arrivals") == [identifier]


def test_pages_neither_skip_nor_repeat_while_new_ones_come(bell: Bell, service: Service, user: str) -> None:
    service.post_many(user, [f"old {n}" for n in range(70)])
    loaded(bell)
    for turn in range(4):
        service.post_many(user, [f"new {turn}.{n}" for n in range(3)])
        if turn == 2:
            service.mark(user, "deleted", [bell.js("page.inbox.items.at(-1).id")])
        bell.js("page.inbox.more()")
    bell.until("page.inbox.rev === it", service.inbox(user)["rev"])
    shown = titles(bell)
    expected = [f"new {turn}.{n}" for turn in range(3, -1, -1) for n in range(2, -1, -1)]
    assert shown[:12] == expected
    assert len(shown) == len(set(shown)) == 81
    bell.agrees_with(lambda: service.inbox(user, "limit=100"))


def test_a_change_that_overtakes_a_page_is_not_lost(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, [f"n {n}" for n in range(40)])
    loaded(bell)
    bell.js("page.wire.hold_ack()")
    bell.js("(page.inbox.more(), null)")
    bell.until("page.wire.held.ack.length >= 1")
    service.mark(user, "archived", ids[3:5])
    service.mark(user, "read", ids[6:7])
    bell.until("page.inbox.rev === it", service.inbox(user)["rev"])
    bell.js("page.wire.release_ack()")
    bell.until("page.inbox.items.length === 38")
    assert bell.js("page.inbox.items.filter((item) => item.read_at).length") == 1
    bell.agrees_with(lambda: service.inbox(user, "limit=100"))


def test_what_is_taken_away_goes(bell: Bell, service: Service, user: str) -> None:
    service.post(user, "Expires", ttl=1)
    retracted = service.post(user, "Retracted")
    service.post(user, "Build 1", collapse_key="build")
    deleted = service.post(user, "Deleted")
    loaded(bell)
    assert titles(bell)[:3] == ["Deleted", "Build 1", "Retracted"]
    service.retract(retracted)
    service.post(user, "Build 2", collapse_key="build")
    service.mark(user, "deleted", [deleted])
    bell.until("page.inbox.items.length === 1")
    assert titles(bell) == ["Build 2"]
    bell.agrees_with(lambda: service.inbox(user))


def test_a_snoozed_entry_comes_back_on_top_as_itself(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    loaded(bell)
    bell.js("page.inbox.mark('read', [it])", ids[0])
    bell.js("page.inbox.mark('snoozed', [it.id], {until: it.until})", {"id": ids[0], "until": soon(1.5)})
    assert titles(bell) == ["Three", "Two"]
    bell.until("page.inbox.items.length === 3")
    assert titles(bell) == ["One", "Three", "Two"]
    assert bell.js("page.inbox.items[0].read_at") is None
    assert bell.js("page.arrivals")[-1] == ids[0]
    bell.agrees_with(lambda: service.inbox(user))


def test_ending_a_snooze_early_puts_it_back_where_it_was(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two", "Three"])
    service.mark(user, "snoozed", ids[1:2], until=soon(600))
    loaded(bell)
    assert titles(bell) == ["Three", "One"]
    service.mark(user, "unsnoozed", ids[1:2])
    bell.until("page.inbox.items.length === 3")
    assert titles(bell) == ["Three", "Two", "One"]
    bell.agrees_with(lambda: service.inbox(user))


@pytest.mark.parametrize("status", ["unseen", "unread", "read", "archived", "snoozed"])
def test_a_list_of_one_status_follows(visit: Visit, service: Service, user: str, status: str) -> None:
    ids = service.post_many(user, [f"n {n}" for n in range(8)])
    service.mark(user, "seen", ids[:6])
    service.mark(user, "read", ids[:3])
    service.mark(user, "archived", ids[:1])
    service.mark(user, "snoozed", ids[5:6], until=soon(600))
    bell = visit(options={"status": status})
    bell.is_live()
    loaded(bell)

    def told() -> Any:
        return service.inbox(user, f"status={status}")

    bell.agrees_with(told)
    marks: list[tuple[str, list[str], dict[str, Any]]] = [
        ("read", ids[6:7], {}),
        ("unread", ids[1:2], {}),
        ("archived", ids[3:4], {}),
        ("unarchived", ids[:1], {}),
        ("snoozed", ids[4:5], {"until": soon(600)}),
        ("unsnoozed", ids[5:6], {}),
        ("seen", ids[7:], {}),
        ("deleted", ids[2:3], {}),
    ]
    for kind, which, fields in marks:
        service.mark(user, kind, which, **fields)
        bell.agrees_with(told)
    service.post(user, "New")
    bell.agrees_with(told)


def test_a_list_of_one_category_takes_no_other(visit: Visit, service: Service, user: str) -> None:
    service.post(user, "Build", category="ci")
    service.post(user, "Invoice", category="billing")
    bell = visit(options={"category": "ci"})
    bell.is_live()
    loaded(bell)
    service.post(user, "Another invoice", category="billing")
    service.post(user, "Another build", category="ci")
    bell.until("page.inbox.items.length === 2")
    assert titles(bell) == ["Another build", "Build"]
    assert len(bell.js("page.arrivals")) == 1
    bell.js("page.inbox.markAll('read')")
    bell.agrees_with(lambda: service.inbox(user, "category=ci"))
    assert counts(bell)["unread"] == 2


def test_a_mark_made_offline_is_sent_when_one_is_back(bell: Bell, service: Service, user: str) -> None:
    ids = service.post_many(user, ["One", "Two"])
    loaded(bell)
    bell.js(
        "(page.socket.io.reconnectionDelay(600), page.socket.io.reconnectionDelayMax(600), page.wire.cut())"
    )
    bell.until("page.inbox.state === 'offline'")
    bell.js("(page.inbox.mark('archived', [it]), null)", ids[0])
    assert titles(bell) == ["Two"]
    assert counts(bell)["total"] == 1
    bell.until("page.socket.connected")
    bell.agrees_with(lambda: service.inbox(user))
    assert counts(bell)["total"] == 1


def test_a_refused_token_is_an_error(visit: Visit, service: Service, user: str) -> None:
    bell = visit(token="no token")
    bell.until("page.errors.length === 1")
    assert bell.js("page.errors") == ["token_invalid"]
    assert bell.js("page.inbox.state") == "connecting"
    assert bell.js("page.inbox.error.code") == "token_invalid"


def test_a_closed_inbox_lets_go_of_the_socket(bell: Bell, service: Service, user: str) -> None:
    before = bell.js("[page.socket.listeners('connect').length, page.socket.listenersAny().length]")
    bell.js("(page.second = new page.Inbox(page.socket), page.second.load())")
    assert bell.js("[page.socket.listeners('connect').length, page.socket.listenersAny().length]") != before
    bell.js(
        "(page.second.addEventListener('change', () => { page.changed = true; }), page.second.close(), null)"
    )
    assert bell.js("[page.socket.listeners('connect').length, page.socket.listenersAny().length]") == before
    loaded(bell)
    service.post(user, "After")
    bell.until("page.inbox.items.length === 1")
    assert bell.js("page.second.items") == []
    assert bell.js("page.socket.connected") is True


def test_memory_stays_flat_over_ten_thousand_arrivals(bell: Bell, service: Service, user: str) -> None:
    loaded(bell)
    session = bell.page.context.new_cdp_session(bell.page)

    def flood(rounds: int) -> float:
        for _ in range(rounds):
            service.post_many(user, [f"n {n}" for n in range(1000)], body="x" * 100)
            bell.until("page.inbox.rev >= it", service.inbox(user, "limit=0")["rev"])
        bell.js("(page.arrivals.length = 0, page.asked.length = 0, null)")
        session.send("HeapProfiler.collectGarbage")
        used: float = session.send("Runtime.getHeapUsage")["usedSize"]
        return used

    before = flood(2)
    after = flood(10)
    assert bell.js("page.inbox.items.length") <= 240
    assert bell.js("page.inbox.hasMore") is True
    assert after < before + 1_000_000
    bell.js("page.inbox.more()")
    assert bell.js("new Set(page.inbox.items.map(({id}) => id)).size") == bell.js("page.inbox.items.length")
    bell.agrees_with(lambda: service.inbox(user, "limit=100"))
