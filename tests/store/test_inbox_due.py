"""What an inbox does by itself: entries expire, snoozes end, and each is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from notify.domain.inbox import Counts, Mark, Query, State
from tests.store.inboxes import HOUR_MS, Inboxes

Look = Callable[[Inboxes, str], Awaitable[Any]]

LOOKS: dict[str, Look] = {
    "page": lambda inboxes, id_: inboxes.inbox.page("ada", Query()),
    "snapshot": lambda inboxes, id_: inboxes.inbox.snapshot("ada"),
    "look": lambda inboxes, id_: inboxes.inbox.look("ada", [(id_, 1)]),
    "mark": lambda inboxes, id_: inboxes.inbox.mark("ada", Mark("read", ids=(id_,))),
    "remove": lambda inboxes, id_: inboxes.inbox.remove(id_, ["ada", "bob"], reason="retracted"),
    "publish": lambda inboxes, id_: inboxes.post("ada"),
}


@pytest.mark.parametrize("look", LOOKS)
async def test_every_call_first_lets_expire_what_has(inboxes: Inboxes, look: str):
    gone = [await inboxes.post("ada", ttl_ms=HOUR_MS) for _ in range(3)]
    stays = await inboxes.post("ada")
    await inboxes.inbox.mark("ada", Mark("read", ids=(gone[0],)))
    await inboxes.inbox.mark("ada", Mark("archived", ids=(gone[1],)))
    await inboxes.pass_time("ada", HOUR_MS)
    rev = (await inboxes.told())[-1].said["rev"]
    await LOOKS[look](inboxes, gone[0])
    first = (await inboxes.told("ada"))[0]
    assert (first.event, first.said["reason"]) == ("notification:removed", "expired")
    assert sorted(first.said["ids"]) == sorted(gone)
    assert (first.said["rev"], first.counts) == (rev + 1, Counts(1, 1, 1))
    assert stays in await inboxes.ids("ada")
    assert await inboxes.told("ada") == []
    for id_ in gone:
        assert await inboxes.body_of(id_) == b""
    assert await inboxes.inbox.check("ada") == []


@pytest.mark.parametrize("look", LOOKS)
async def test_more_due_than_one_call_may_do_is_done_by_several(inboxes: Inboxes, look: str):
    gone = [await inboxes.post("ada", ttl_ms=HOUR_MS) for _ in range(210)]
    await inboxes.pass_time("ada", HOUR_MS)
    await inboxes.told()
    await LOOKS[look](inboxes, gone[0])
    expired = [one for one in await inboxes.told("ada") if one.event == "notification:removed"]
    assert [len(one.said["ids"]) for one in expired] == [100, 100, 10]
    assert {id_ for one in expired for id_ in one.said["ids"]} == set(gone)
    assert len({one.said["rev"] for one in expired}) == 3


async def test_of_many_who_look_at_once_one_tells(inboxes: Inboxes):
    await inboxes.post("ada", ttl_ms=HOUR_MS)
    await inboxes.pass_time("ada", HOUR_MS)
    await inboxes.told()
    found = await asyncio.gather(*(inboxes.inbox.snapshot("ada") for _ in range(20)))
    assert len(await inboxes.told()) == 1
    assert len(set(found)) == 1


async def test_an_entry_expires_by_the_clock_of_redis(inboxes: Inboxes):
    id_ = await inboxes.post("ada", ttl_ms=80)
    await inboxes.told()
    at = await inboxes.inbox.snapshot("ada")
    while at.counts.total:
        assert at.due_ms is not None
        at = await inboxes.inbox.snapshot("ada")
    (told,) = await inboxes.told()
    assert told.said["ids"] == [id_]
    assert at.due_ms is None


async def test_a_snooze_comes_back_on_top_as_if_it_were_new(inboxes: Inboxes):
    id_ = await inboxes.post("ada", title="Later", category="ci")
    above = await inboxes.post("ada")
    until_ms = await inboxes.now_ms() + HOUR_MS
    await inboxes.inbox.mark("ada", Mark("read", ids=(id_,)))
    snoozed = await inboxes.inbox.mark("ada", Mark("snoozed", ids=(id_,), until_ms=until_ms))
    assert snoozed.at.due_ms == until_ms
    place = (await inboxes.inbox.page("ada", Query("snoozed"))).entries[0].place
    await inboxes.pass_time("ada", HOUR_MS)
    await inboxes.told()
    page = await inboxes.inbox.page("ada", Query())
    assert [entry.id for entry in page.entries] == [id_, above]
    back = page.entries[0]
    assert back.place == page.at.rev == snoozed.at.rev + 1 > place
    assert back.state == State(delivered=True)
    assert (page.at.counts, back.category) == (Counts(2, 2, 2), "ci")
    (told,) = await inboxes.told("ada")
    assert (told.event, told.said["id"], told.said["title"]) == ("notification", id_, "Later")
    assert told.said["inbox"] == {"rev": back.place, "place": back.place, "unseen": 2, "unread": 2}
    assert (told.message.notification_id, told.message.place) == (id_, back.place)


async def test_snoozes_that_end_together_come_back_in_their_order_each_a_change(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(3)]
    now_ms = await inboxes.now_ms()
    for id_, hours in zip(ids, (3, 1, 2), strict=True):
        mark = Mark("snoozed", ids=(id_,), until_ms=now_ms + hours * HOUR_MS)
        await inboxes.inbox.mark("ada", mark)
    gone = await inboxes.post("ada", ttl_ms=HOUR_MS)
    await inboxes.pass_time("ada", 3 * HOUR_MS)
    await inboxes.told()
    assert await inboxes.ids("ada") == [ids[0], ids[2], ids[1]]
    first, *back = await inboxes.told()
    assert first.said["ids"] == [gone], "what expires is told before"
    assert [one.said["id"] for one in back] == [ids[1], ids[2], ids[0]]
    places = [one.said["inbox"]["place"] for one in back]
    assert places == [first.said["rev"] + 1, first.said["rev"] + 2, first.said["rev"] + 3]


async def test_more_snoozes_than_one_call_may_end_come_back_in_their_order_too(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(150)]
    now_ms = await inboxes.now_ms()
    for number, id_ in enumerate(ids):
        mark = Mark("snoozed", ids=(id_,), until_ms=now_ms + HOUR_MS - number)
        await inboxes.inbox.mark("ada", mark)
    await inboxes.pass_time("ada", HOUR_MS)
    assert (await inboxes.inbox.snapshot("ada")).counts == Counts(150, 150, 150)
    listed = await inboxes.ids("ada")
    listed += await inboxes.ids("ada", after=(await inboxes.inbox.page("ada", Query(limit=100))).next)
    assert listed == ids


async def test_a_snooze_does_not_outlive_its_notification(inboxes: Inboxes):
    id_ = await inboxes.post("ada", ttl_ms=HOUR_MS)
    until_ms = await inboxes.now_ms() + 2 * HOUR_MS
    await inboxes.inbox.mark("ada", Mark("snoozed", ids=(id_,), until_ms=until_ms))
    await inboxes.pass_time("ada", 2 * HOUR_MS)
    await inboxes.told()
    assert await inboxes.ids("ada") == []
    (told,) = await inboxes.told()
    assert (told.said["reason"], told.counts) == ("expired", Counts())


async def test_the_next_due_time_is_never_late(inboxes: Inboxes):
    assert (await inboxes.inbox.snapshot("ada")).due_ms is None
    later = await inboxes.post("ada", ttl_ms=9 * HOUR_MS)
    sooner = await inboxes.post("ada", ttl_ms=5 * HOUR_MS)
    now_ms = await inboxes.now_ms()
    assert 4 * HOUR_MS < ((await inboxes.inbox.snapshot("ada")).due_ms or 0) - now_ms <= 5 * HOUR_MS
    await inboxes.inbox.mark("ada", Mark("snoozed", ids=(later,), until_ms=now_ms + HOUR_MS))
    assert (await inboxes.inbox.snapshot("ada")).due_ms == now_ms + HOUR_MS
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(later, sooner)))
    await inboxes.pass_time("ada", HOUR_MS)
    assert (await inboxes.inbox.snapshot("ada")).due_ms is None, "a time that came for nothing is forgotten"


async def test_retracting_takes_it_out_of_all_inboxes_that_have_it(inboxes: Inboxes):
    id_ = await inboxes.post("ada", "bob", "cid")
    await inboxes.inbox.mark("bob", Mark("deleted", ids=(id_,)))
    await inboxes.inbox.mark("cid", Mark("archived", ids=(id_,)))
    await inboxes.told()
    users = ["ada", "bob", "cid", "eve"]
    assert await inboxes.inbox.remove(id_, users, reason="retracted") == 2
    told = {one.address: one for one in await inboxes.told()}
    assert set(told) == {"user:/:ada", "user:/:cid"}
    for one in told.values():
        assert (one.event, one.said["ids"], one.said["reason"]) == (
            "notification:removed",
            [id_],
            "retracted",
        )
    assert await inboxes.body_of(id_) == b""
    assert await inboxes.inbox.remove(id_, users, reason="retracted") == 0
    assert await inboxes.told() == []
    assert await inboxes.inbox.states(id_, users) == [None] * 4


async def test_what_is_gone_is_not_to_be_replayed(inboxes: Inboxes):
    names = ("kept", "deleted", "collapsed", "collapsing", "archived", "snoozed", "expired")
    places = {}
    for name in names:
        key = "key" if name.startswith("collaps") else None
        id_ = await inboxes.post("ada", collapse_key=key, ttl_ms=HOUR_MS * (1 if name == "expired" else 9))
        posted = (await inboxes.told())[-1]
        places[name] = (id_, posted.message.place)
    until_ms = await inboxes.now_ms() + 5 * HOUR_MS
    for name, mark in (
        ("deleted", Mark("deleted", ids=(places["deleted"][0],))),
        ("archived", Mark("archived", ids=(places["archived"][0],))),
        ("snoozed", Mark("snoozed", ids=(places["snoozed"][0],), until_ms=until_ms)),
    ):
        assert (await inboxes.inbox.mark("ada", mark)).changed == 1, name
    await inboxes.pass_time("ada", HOUR_MS)
    at, gone = await inboxes.inbox.look("ada", list(places.values()))
    assert gone == {places[name][0] for name in ("deleted", "collapsed", "expired")}
    assert at == await inboxes.inbox.snapshot("ada")


async def test_what_was_trimmed_is_still_owed_to_who_was_away(inboxes: Inboxes):
    inboxes.most(2)
    sent = []
    for _ in range(4):
        id_ = await inboxes.post("ada")
        sent.append((id_, (await inboxes.told())[-1].message.place))
    assert (await inboxes.inbox.look("ada", sent))[1] == frozenset()
    await inboxes.client.set(f"{inboxes.keys.record(sent[0][0])}:retracted", "1", ex=60)
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(sent[3][0],)))
    assert (await inboxes.inbox.look("ada", sent))[1] == {sent[0][0], sent[3][0]}


async def test_what_was_deleted_or_collapsed_is_not_replayed_though_what_came_after_it_was_trimmed(
    inboxes: Inboxes,
):
    inboxes.most(3)
    sent = []

    async def post(collapse_key: str | None = None) -> str:
        id_ = await inboxes.post("ada", collapse_key=collapse_key)
        sent.append((id_, (await inboxes.told())[-1].message.place))
        return id_

    deleted, archived, older = await post(), await post(), await post("build")
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(deleted,)))
    await inboxes.inbox.mark("ada", Mark("archived", ids=(archived,)))
    for _ in range(2):
        await post("build")
    for _ in range(3):
        await post()
    assert await inboxes.ids("ada") == [id_ for id_, _ in sent[:-4:-1]], "all that is older was trimmed"
    assert (await inboxes.inbox.look("ada", sent))[1] == {deleted, older, sent[3][0]}


async def test_what_was_removed_is_known_for_as_long_as_the_log_may_be_asked(inboxes: Inboxes):
    log, gone = f"{inboxes.keys.log_prefix}user:/:ada", f"{inboxes.keys.inbox('ada')}:gone"
    first, second, third = [await inboxes.post("ada") for _ in range(3)]
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(first,)))
    log_ends = await inboxes.client.pexpiretime(log)
    assert await inboxes.client.pexpiretime(gone) == log_ends + HOUR_MS
    (kept,) = await inboxes.client.lrange(gone, 0, -1)
    await inboxes.client.lset(gone, 0, kept.replace(str(log_ends + HOUR_MS).encode(), b"1"))
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(second,)))
    assert [kept.split()[1:] for kept in await inboxes.client.lrange(gone, 0, -1)] == [
        [second.removeprefix("ntf_").encode()]
    ]
    await inboxes.client.delete(log, gone)
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(third,)))
    assert await inboxes.client.exists(gone) == 0, "no log has it"


async def test_of_what_went_into_no_inbox_only_what_was_retracted_is_left_out(inboxes: Inboxes):
    entry = await inboxes.entry("ada")
    assert entry.inbox is not None
    id_ = entry.inbox.id
    assert (await inboxes.inbox.look("ada", [(id_, 0)]))[1] == frozenset()
    await inboxes.client.set(f"{inboxes.keys.record(id_)}:retracted", "1", ex=60)
    assert (await inboxes.inbox.look("ada", [(id_, 0)]))[1] == {id_}
