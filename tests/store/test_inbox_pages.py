"""Lists of an inbox: filters, pages, counts by category, and what spares reading them."""

from __future__ import annotations

import pytest

from notify.domain.inbox import Counts, Mark, Query
from tests.store.inboxes import HOUR_MS, Inboxes


async def test_each_status_lists_its_own_newest_first(inboxes: Inboxes):
    fresh, seen, read, archived, snoozed, kept_read = [await inboxes.post("ada") for _ in range(6)]
    marks = [
        Mark("seen", ids=(seen,)),
        Mark("read", ids=(read, kept_read, archived)),
        Mark("archived", ids=(archived,)),
        Mark("snoozed", ids=(snoozed,), until_ms=await inboxes.now_ms() + HOUR_MS),
    ]
    for mark in marks:
        await inboxes.inbox.mark("ada", mark)
    assert await inboxes.ids("ada") == [kept_read, read, seen, fresh]
    assert await inboxes.ids("ada", "unseen") == [fresh]
    assert await inboxes.ids("ada", "unread") == [seen, fresh]
    assert await inboxes.ids("ada", "read") == [kept_read, read]
    assert await inboxes.ids("ada", "archived") == [archived]
    assert await inboxes.ids("ada", "snoozed") == [snoozed]
    assert (await inboxes.inbox.snapshot("ada")).counts == Counts(1, 2, 4)


async def test_categories_filter_and_are_counted_beyond_the_page(inboxes: Inboxes):
    for name in ("ci", "chat", "ci", None, "Grüße", "ci"):
        await inboxes.post("ada", category=name)
    oldest = (await inboxes.ids("ada"))[-1]
    await inboxes.inbox.mark("ada", Mark("read", ids=(oldest,)))
    page = await inboxes.inbox.page("ada", Query(limit=1, categories=("ci", "Grüße"), by_category=True))
    assert [entry.category for entry in page.entries] == ["ci"]
    assert page.by_category == {"ci": Counts(2, 2, 3), "chat": Counts(1, 1, 1), "Grüße": Counts(1, 1, 1)}
    assert page.at.counts == Counts(5, 5, 6)
    assert len(await inboxes.ids("ada", categories=("Grüße", "chat"))) == 2
    assert await inboxes.ids("ada", "unread", categories=("nothing",)) == []


async def test_counts_by_category_leave_out_what_is_archived(inboxes: Inboxes):
    id_ = await inboxes.post("ada", category="ci")
    await inboxes.inbox.mark("ada", Mark("archived", ids=(id_,)))
    assert (await inboxes.inbox.page("ada", Query(by_category=True))).by_category == {}


async def test_pages_follow_each_other_whatever_comes_and_goes(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(10)]
    first = await inboxes.inbox.page("ada", Query(limit=4))
    assert [entry.id for entry in first.entries] == ids[:5:-1]
    assert first.next == first.entries[-1].place
    await inboxes.post("ada")
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(ids[6], ids[5])))
    second = await inboxes.inbox.page("ada", Query(limit=4, after=first.next))
    assert [entry.id for entry in second.entries] == ids[4:0:-1]
    third = await inboxes.inbox.page("ada", Query(limit=4, after=second.next))
    assert [entry.id for entry in third.entries] == ids[:1]
    assert third.next is None


async def test_a_page_that_just_fits_has_no_next(inboxes: Inboxes):
    for _ in range(3):
        await inboxes.post("ada")
    assert (await inboxes.inbox.page("ada", Query(limit=3))).next is None
    assert (await inboxes.inbox.page("ada", Query(limit=2))).next is not None


async def test_a_page_finds_what_matches_far_below(inboxes: Inboxes):
    oldest = [await inboxes.post("ada", category="rare") for _ in range(3)]
    await inboxes.log.append(*[await inboxes.entry("ada", category="ci") for _ in range(450)])
    page = await inboxes.inbox.page("ada", Query(limit=2, categories=("rare",)))
    assert [entry.id for entry in page.entries] == oldest[:0:-1]
    rest = await inboxes.inbox.page("ada", Query(limit=2, categories=("rare",), after=page.next))
    assert ([entry.id for entry in rest.entries], rest.next) == (oldest[:1], None)


async def test_a_limit_of_nothing_gives_counts_alone(inboxes: Inboxes):
    await inboxes.post("ada", category="ci")
    page = await inboxes.inbox.page("ada", Query(limit=0, by_category=True))
    assert (page.entries, page.next, page.at.counts) == ((), None, Counts(1, 1, 1))
    assert page.by_category == {"ci": Counts(1, 1, 1)}


async def test_a_page_ends_at_256_kib_but_holds_one_entry(inboxes: Inboxes):
    for _ in range(6):
        await inboxes.post("ada", title="x" * 60_000)
    page = await inboxes.inbox.page("ada", Query(limit=100))
    assert len(page.entries) == 4
    rest = await inboxes.inbox.page("ada", Query(limit=100, after=page.next))
    assert (len(rest.entries), rest.next) == (2, None)
    await inboxes.post("ada", title="y" * 300_000)
    page = await inboxes.inbox.page("ada", Query(limit=100))
    assert len(page.entries) == 1
    assert page.next == page.entries[0].place


async def test_nothing_is_read_while_the_rev_that_the_caller_has_still_holds(inboxes: Inboxes):
    id_ = await inboxes.post("ada", ttl_ms=HOUR_MS)
    page = await inboxes.inbox.page("ada", Query())
    again = await inboxes.inbox.page("ada", Query(by_category=True), if_rev=page.at.rev)
    assert (again.unchanged, again.entries, again.at) == (True, (), page.at)
    await inboxes.inbox.mark("ada", Mark("delivered", ids=(id_,)))
    assert (await inboxes.inbox.page("ada", Query(), if_rev=page.at.rev)).unchanged
    await inboxes.pass_time("ada", HOUR_MS)
    later = await inboxes.inbox.page("ada", Query(), if_rev=page.at.rev)
    assert (later.unchanged, later.entries) == (False, ()), "what is due is swept before the answer is judged"


async def test_looking_at_an_empty_inbox_changes_nothing_twice(inboxes: Inboxes):
    first = await inboxes.inbox.page("ada", Query())
    assert first.at.counts == Counts()
    assert (await inboxes.inbox.page("ada", Query(), if_rev=first.at.rev)).unchanged
    assert await inboxes.told() == []


@pytest.mark.parametrize("user", ["a}b", "{a}", "a%7Db", "ada:lovelace", "Zoë {x", "*"])
async def test_any_user_id_has_an_inbox_of_its_own(inboxes: Inboxes, user: str):
    others = ["a%7Db", "a}b", "a", "ada"]
    id_ = await inboxes.post(user)
    assert await inboxes.ids(user) == [id_]
    (told,) = await inboxes.told(user)
    assert told.said["id"] == id_
    for other in others:
        if other != user:
            assert await inboxes.ids(other) == []
    (key,) = [name async for name in inboxes.client.scan_iter("notify:inbox:*:order")]
    tag = key[key.index(b"{") + 1 : key.index(b"}")]
    assert key == b"notify:inbox:{" + tag + b"}:order", "all of the id is the hash tag"
