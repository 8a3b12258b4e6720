"""Every mark, what it changes, what it tells, and that repeating it does neither."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from notify.domain.errors import Invalid, Unavailable
from notify.domain.inbox import Counts, Mark, MarkResult, Query, State
from notify.domain.notifications.notification_id import new_id
from notify.redis.scripts import Script
from notify.store.inbox import MARK, MARKED
from tests.store.inboxes import HOUR_MS, Inboxes

NOBODYS = new_id(1)


async def one_state(inboxes: Inboxes, id_: str) -> State:
    (state,) = await inboxes.inbox.states(id_, ["ada"])
    assert state is not None
    return state


async def mark(inboxes: Inboxes, what, *ids: str, **more) -> MarkResult:
    if what == "snoozed":
        more.setdefault("until_ms", await inboxes.now_ms() + HOUR_MS)
    return await inboxes.inbox.mark("ada", Mark(what, ids=ids, **more))


FRESH, SEEN, READ = Counts(2, 2, 2), Counts(1, 2, 2), Counts(1, 1, 2)
AWAY = Counts(1, 1, 1)


@pytest.mark.parametrize(
    ("before", "what", "changed", "counts"),
    [
        ((), "seen", 1, SEEN),
        (("seen",), "seen", 0, SEEN),
        (("read",), "seen", 0, READ),
        ((), "read", 1, READ),
        (("seen",), "read", 1, READ),
        (("read",), "read", 0, READ),
        ((), "unread", 0, FRESH),
        (("seen",), "unread", 0, SEEN),
        (("read",), "unread", 1, SEEN),
        ((), "archived", 1, AWAY),
        (("read",), "archived", 1, AWAY),
        (("archived",), "archived", 0, AWAY),
        (("snoozed",), "archived", 1, AWAY),
        ((), "unarchived", 0, FRESH),
        (("archived",), "unarchived", 1, FRESH),
        (("read", "archived"), "unarchived", 1, READ),
        (("snoozed",), "unarchived", 0, AWAY),
        ((), "snoozed", 1, AWAY),
        (("archived",), "snoozed", 1, AWAY),
        ((), "unsnoozed", 0, FRESH),
        (("snoozed",), "unsnoozed", 1, FRESH),
        (("read", "snoozed"), "unsnoozed", 1, READ),
        (("archived",), "unsnoozed", 0, AWAY),
        (("archived",), "seen", 1, AWAY),
        (("archived",), "read", 1, AWAY),
        (("read", "archived"), "unread", 1, AWAY),
        (("snoozed",), "read", 1, AWAY),
    ],
)
async def test_a_mark(inboxes: Inboxes, before: tuple[str, ...], what, changed: int, counts: Counts):
    id_, other = await inboxes.post("ada"), await inboxes.post("ada")
    for earlier in before:
        await mark(inboxes, earlier, id_)
    at = await inboxes.inbox.snapshot("ada")
    await inboxes.told()
    result = await mark(inboxes, what, id_)
    told = await inboxes.told()
    assert (result.changed, result.at.counts, result.missing) == (changed, counts, ())
    assert result.at.rev == at.rev + changed
    assert (await inboxes.inbox.page("ada", Query())).at == result.at
    assert await inboxes.inbox.check("ada") == []
    assert other in await inboxes.ids("ada")
    if changed:
        (change,) = told
        assert (change.event, change.said["as"], change.said["ids"]) == ("inbox:changed", what, [id_])
        assert (change.said["rev"], change.counts) == (result.at.rev, counts)
    else:
        assert told == []


async def test_what_a_mark_leaves_behind(inboxes: Inboxes):
    id_ = await inboxes.post("ada")
    assert await one_state(inboxes, id_) == State()
    began_ms = await inboxes.now_ms()
    await mark(inboxes, "read", id_)
    read = await one_state(inboxes, id_)
    assert read.delivered, "read implies seen, seen implies delivered"
    assert read.seen_at_ms == read.read_at_ms
    assert began_ms <= (read.read_at_ms or 0) <= await inboxes.now_ms()
    await mark(inboxes, "unread", id_)
    unread = await one_state(inboxes, id_)
    assert (unread.seen_at_ms, unread.read_at_ms) == (read.seen_at_ms, None)
    until_ms = began_ms + HOUR_MS
    await mark(inboxes, "snoozed", id_, until_ms=until_ms)
    assert (await one_state(inboxes, id_)).snoozed_until_ms == until_ms
    await mark(inboxes, "archived", id_)
    archived = await one_state(inboxes, id_)
    assert archived.snoozed_until_ms is None, "archiving ends a snooze"
    assert archived.archived_at_ms is not None
    await mark(inboxes, "snoozed", id_, until_ms=until_ms)
    assert (await one_state(inboxes, id_)).archived_at_ms is None, "snoozing unarchives"


async def test_delivered_raises_no_rev_and_is_told_to_nobody(inboxes: Inboxes):
    id_ = await inboxes.post("ada")
    at = await inboxes.inbox.snapshot("ada")
    await inboxes.told()
    first = await mark(inboxes, "delivered", id_)
    assert (first.changed, first.at) == (1, MarkResult(1, (), first.at).at)
    assert (first.at.rev, first.at.counts) == (at.rev, at.counts)
    assert (await one_state(inboxes, id_)).delivered
    assert (await mark(inboxes, "delivered", id_)).changed == 0
    await mark(inboxes, "seen", await inboxes.post("ada"))
    assert (await mark(inboxes, "delivered", *await inboxes.ids("ada"))).changed == 0
    assert [one.event for one in await inboxes.told()] == ["notification", "inbox:changed"]


async def test_deleted_is_told_by_its_removal_alone(inboxes: Inboxes):
    id_, other = await inboxes.post("ada"), await inboxes.post("ada")
    await inboxes.told()
    result = await mark(inboxes, "deleted", id_)
    (told,) = await inboxes.told()
    assert told.event == "notification:removed"
    assert told.said == {
        "ids": [id_],
        "reason": "deleted",
        "rev": result.at.rev,
        "counts": {"unseen": 1, "unread": 1, "total": 1},
    }
    again = await mark(inboxes, "deleted", id_)
    assert (again.changed, again.missing, again.at.rev) == (0, (id_,), result.at.rev)
    assert await inboxes.told() == []
    assert await inboxes.ids("ada") == [other]


async def test_an_archived_one_keeps_its_place(inboxes: Inboxes):
    first, second, third = [await inboxes.post("ada") for _ in range(3)]
    await mark(inboxes, "archived", second)
    assert await inboxes.ids("ada") == [third, first]
    await mark(inboxes, "unarchived", second)
    assert await inboxes.ids("ada") == [third, second, first]


async def test_only_what_changed_is_told(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(4)]
    await mark(inboxes, "read", ids[1])
    await inboxes.told()
    result = await mark(inboxes, "read", ids[0], ids[1], NOBODYS, ids[3], ids[0], "nonsense")
    (told,) = await inboxes.told()
    assert (result.changed, result.missing) == (2, (NOBODYS, "nonsense"))
    assert told.said["ids"] == [ids[0], ids[3]]
    at = datetime.fromisoformat(told.said["at"])
    (state,) = await inboxes.inbox.states(ids[0], ["ada"])
    assert state is not None
    assert at.timestamp() * 1000 == state.read_at_ms


async def test_nothing_of_an_empty_inbox_changes(inboxes: Inboxes):
    result = await mark(inboxes, "read", NOBODYS)
    assert (result.changed, result.missing, result.at.counts) == (0, (NOBODYS,), Counts())
    assert (await mark(inboxes, "read", up_to=10**14)).changed == 0
    assert await inboxes.told() == []


async def test_a_snooze_must_end_in_the_future(inboxes: Inboxes):
    id_ = await inboxes.post("ada")
    await inboxes.told()
    with pytest.raises(Invalid) as refused:
        await mark(inboxes, "snoozed", id_, until_ms=await inboxes.now_ms() - 1)
    assert [error.pointer for error in refused.value.errors] == ["/until"]
    assert await inboxes.ids("ada") == [id_]
    assert await inboxes.told() == []


async def test_a_snooze_may_be_moved_and_tells_until_when(inboxes: Inboxes):
    id_ = await inboxes.post("ada")
    await mark(inboxes, "snoozed", id_)
    await inboxes.told()
    until_ms = 1_830_297_599_007  # 2027-12-31T23:59:59.007Z
    assert (await mark(inboxes, "snoozed", id_, until_ms=until_ms)).changed == 1
    (told,) = await inboxes.told()
    assert told.said["until"] == "2027-12-31T23:59:59.007Z"
    assert (await mark(inboxes, "snoozed", id_, until_ms=until_ms)).changed == 0


@pytest.mark.parametrize("form", ["id", "place"])
async def test_up_to_marks_that_entry_and_all_below(inboxes: Inboxes, form: str):
    ids = [await inboxes.post("ada") for _ in range(4)]
    places = {entry.id: entry.place for entry in (await inboxes.inbox.page("ada", Query())).entries}
    await inboxes.told()
    bound = ids[2] if form == "id" else places[ids[2]]
    result = await mark(inboxes, "seen", up_to=bound)
    assert (result.changed, result.at.counts) == (3, Counts(1, 4, 4))
    assert await inboxes.ids("ada", "unseen") == [ids[3]], "what came meanwhile is not swallowed"
    (told,) = await inboxes.told()
    assert told.said["up_to"] == places[ids[2]]
    assert "ids" not in told.said
    assert (await mark(inboxes, "seen", up_to=bound)).changed == 0
    assert await inboxes.told() == []


@pytest.mark.parametrize("aside", ["archived", "snoozed"])
async def test_up_to_leaves_alone_what_is_archived_or_snoozed_even_the_bound(inboxes: Inboxes, aside):
    ids = [await inboxes.post("ada") for _ in range(3)]
    await mark(inboxes, aside, ids[0], ids[1])
    result = await mark(inboxes, "read", up_to=ids[1])
    assert (result.changed, result.missing) == (0, ())
    await mark(inboxes, "unarchived" if aside == "archived" else "unsnoozed", ids[0])
    assert (await mark(inboxes, "read", up_to=ids[1])).changed == 1
    assert await inboxes.ids("ada", "read") == [ids[0]]


async def test_up_to_is_narrowed_by_category_after_the_place(inboxes: Inboxes):
    ids = [await inboxes.post("ada", category=name) for name in ("ci", "chat", 'c"i', "ci")]
    await inboxes.told()
    assert (await mark(inboxes, "read", up_to=ids[2], category="ci")).changed == 1
    assert (await mark(inboxes, "read", up_to=ids[2], category='c"i')).changed == 1
    assert [one.said["category"] for one in await inboxes.told()] == ["ci", 'c"i']
    assert await inboxes.ids("ada", "read") == [ids[2], ids[0]]


async def test_up_to_an_unknown_id_is_missing(inboxes: Inboxes):
    await inboxes.post("ada")
    for unknown in (NOBODYS, "nonsense"):
        result = await mark(inboxes, "read", up_to=unknown)
        assert (result.changed, result.missing) == (0, (unknown,))


async def test_everything_up_to_a_place_may_be_deleted(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(3)]
    await mark(inboxes, "archived", ids[0])
    await inboxes.told()
    assert (await mark(inboxes, "deleted", up_to=ids[1])).changed == 1
    (told,) = await inboxes.told()
    assert (told.event, told.said["ids"]) == ("notification:removed", [ids[1]])
    assert await inboxes.ids("ada", "archived") == [ids[0]]


async def _many(inboxes: Inboxes, count: int) -> list[str]:
    """So many entries; their ids, the newest first."""
    await inboxes.log.append(*[await inboxes.entry("ada") for _ in range(count)])
    ids: list[str] = []
    after = None
    while True:
        page = await inboxes.inbox.page("ada", Query(limit=100, after=after))
        ids += [entry.id for entry in page.entries]
        after = page.next
        if after is None:
            break
    assert len(set(ids)) == count
    await inboxes.told()
    return ids


async def test_a_thousand_are_marked_in_slices(inboxes: Inboxes):
    ids = await _many(inboxes, 1000)
    assert (await mark(inboxes, "read", *ids)).changed == 1000
    assert (await mark(inboxes, "unread", *ids)).at.counts == Counts(0, 1000, 1000)
    told = await inboxes.told()
    assert [one.said["as"] for one in told] == ["read"] * 3 + ["unread"] * 3
    for slices in (told[:3], told[3:]):
        assert [id_ for one in slices for id_ in one.said["ids"]] == ids
        assert max(len(one.said["ids"]) for one in slices) == MARKED
    assert await inboxes.inbox.check("ada") == []
    assert (await mark(inboxes, "deleted", *ids)).at.counts == Counts()


async def test_all_up_to_a_place_are_marked_in_slices_from_below(inboxes: Inboxes):
    ids = (await _many(inboxes, 1000))[::-1]
    places = [int(await inboxes.client.zscore(f"{inboxes.keys.inbox('ada')}:order", id_[4:])) for id_ in ids]
    result = await mark(inboxes, "read", up_to=ids[899])
    assert (result.changed, result.at.counts) == (900, Counts(100, 100, 1000))
    told = await inboxes.told()
    assert [one.said["up_to"] for one in told] == [places[MARKED - 1], places[2 * MARKED - 1], places[899]]
    assert [one.counts.unread for one in told] == [1000 - MARKED, 1000 - 2 * MARKED, 100]
    assert await inboxes.inbox.check("ada") == []
    assert (await mark(inboxes, "read", up_to=ids[899])).changed == 0
    assert await inboxes.told() == []
    assert (await mark(inboxes, "deleted", up_to=10**14)).changed == 1000
    assert await inboxes.inbox.check("ada") == []


@pytest.mark.parametrize("by", ["ids", "up_to"])
async def test_a_mark_that_is_broken_off_is_finished_by_another(inboxes: Inboxes, monkeypatch, by: str):
    """What comes between the slices is in no mark, and the counts are right at every step."""
    ids = await _many(inboxes, 2 * MARKED + 1)
    named: dict[str, Any] = {"ids": tuple(ids)} if by == "ids" else {"up_to": ids[0]}
    run = inboxes.redis.run
    calls = 0

    async def dying(script: Script, *args: Any) -> Any:
        nonlocal calls
        calls += script is MARK
        if script is MARK and calls == 2:
            await inboxes.post("ada")
            raise Unavailable("the node is dead")
        return await run(script, *args)

    monkeypatch.setattr(inboxes.redis, "run", dying)
    with pytest.raises(Unavailable):
        await inboxes.inbox.mark("ada", Mark("read", **named))
    monkeypatch.undo()
    assert (await inboxes.inbox.snapshot("ada")).counts.unread == MARKED + 2
    assert await inboxes.inbox.check("ada") == []
    result = await inboxes.inbox.mark("ada", Mark("read", **named))
    assert (result.changed, result.at.counts.unread) == (MARKED + 1, 1)
    assert await inboxes.inbox.check("ada") == []


async def test_of_many_who_mark_the_same_one_does(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(10)]
    await inboxes.told()
    results = await asyncio.gather(*(mark(inboxes, "read", *ids) for _ in range(20)))
    assert sorted(result.changed for result in results) == [0] * 19 + [10]
    assert len(await inboxes.told()) == 1
    assert len({result.at.rev for result in results}) == 1


async def test_marks_and_publishes_at_once_leave_the_counts_right(inboxes: Inboxes):
    async def marks():
        for _ in range(30):
            await mark(inboxes, "read", up_to=10**14)

    async def posts():
        return [await inboxes.post("ada") for _ in range(30)]

    await asyncio.gather(marks(), posts(), posts(), marks())
    page = await inboxes.inbox.page("ada", Query(limit=100))
    assert page.at.counts.total == len(page.entries) == 60
    assert page.at.counts.unread == sum(entry.state.read_at_ms is None for entry in page.entries)
    told = await inboxes.told("ada")
    revs = [one.said["rev"] if "rev" in one.said else one.said["inbox"]["rev"] for one in told]
    assert revs == list(range(revs[0], revs[0] + len(revs))), "each change is one, in the order of offsets"
    assert [one.offset for one in told] == sorted({one.offset for one in told})
    assert revs[-1] == page.at.rev
