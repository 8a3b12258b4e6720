"""Taking a notification back: one outcome, told once, whoever finishes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from notify.domain.channel import Channel
from notify.domain.errors import Unavailable
from notify.domain.inbox import Counts, Mark
from notify.domain.message import Message
from notify.domain.offset import Offset
from notify.store.notifications.due import Due
from notify.store.notifications.records import Records
from notify.store.notifications.retractions import RETRACT, Retractions
from tests.store.inboxes import Inboxes
from tests.support.due import next_ms

USERS = [f"user-{number:03}" for number in range(100)]


@pytest.fixture
def retractions(inboxes: Inboxes) -> Retractions:
    return Retractions(inboxes.redis, inboxes.keys, inboxes.inbox)


@pytest.fixture
async def due(inboxes: Inboxes) -> AsyncIterator[Due]:
    """The due list, which is to be empty when a test is over."""
    found = Due(inboxes.redis, inboxes.keys)
    yield found
    assert await next_ms(inboxes.redis, inboxes.keys) is None


async def status(inboxes: Inboxes, id_: str) -> str:
    found = await Records(inboxes.redis, inboxes.keys).find(id_)
    assert found is not None
    return found.status


async def test_it_leaves_every_inbox_and_everybody_is_told_once(
    inboxes: Inboxes, retractions: Retractions, due: Due
):
    kept = await inboxes.post("ada")
    id_ = await inboxes.post("ada", "bob")
    await inboxes.inbox.mark("bob", Mark("archived", ids=(id_,)))
    await inboxes.told()
    assert await retractions.begin(id_) == "begun"
    assert await status(inboxes, id_) == "retracted"
    await retractions.finish(id_, trace="req-9")
    told = await inboxes.told()
    assert [one.address for one in told] == ["user:/:ada", "user:/:bob"]
    for one in told:
        assert (one.event, one.said["ids"], one.said["reason"]) == (
            "notification:removed",
            [id_],
            "retracted",
        )
        assert one.message.trace == b"req-9"
    assert told[0].counts == Counts(1, 1, 1)
    assert await inboxes.ids("ada") == [kept]
    assert await inboxes.ids("bob", "archived") == []
    assert await inboxes.body_of(id_) == b""
    assert await inboxes.client.exists(f"{inboxes.keys.record(id_)}:to") == 0
    assert await retractions.begin(id_) == "done"
    assert await inboxes.told() == []


async def test_channels_without_an_inbox_are_told_once_and_nobody_twice(
    inboxes: Inboxes, retractions: Retractions, due: Due
):
    id_ = await inboxes.post("ada", rooms=["lobby", 'a "b"'], outside=["bob"])
    await inboxes.told()
    assert await retractions.begin(id_) == "begun"
    await retractions.finish(id_)
    await retractions.finish(id_)
    told = {one.address: one for one in await inboxes.told()}
    assert told.keys() == {"user:/:ada", "user:/:bob", "room:/:lobby", 'room:/:a "b"'}
    assert told["user:/:ada"].said["counts"] == {"unseen": 0, "unread": 0, "total": 0}
    elsewhere = [one for address, one in told.items() if address != "user:/:ada"]
    assert len({one.offset for one in elsewhere}) == 1
    for one in elsewhere:
        assert one.said == {"ids": [id_], "reason": "retracted"}
        assert one.message.overlaps
        assert one.message.except_users == {"ada"}, "who is told by the inbox is not told by a room, too"
        assert one.message.notification_id is None


async def test_what_went_into_no_inbox_is_retracted_too(inboxes: Inboxes, retractions: Retractions, due: Due):
    id_ = await inboxes.post(rooms=["lobby"])
    await inboxes.told()
    assert await retractions.begin(id_) == "begun"
    await retractions.finish(id_)
    (told,) = await inboxes.told()
    assert (told.address, told.said["ids"], told.message.overlaps) == ("room:/:lobby", [id_], False)
    assert await inboxes.body_of(id_) == b""
    assert await status(inboxes, id_) == "retracted"


@pytest.mark.parametrize("step", ["begun", "told", "half"])
async def test_what_died_half_way_is_finished_by_another_and_told_once(
    inboxes: Inboxes, retractions: Retractions, due: Due, step: str
):
    id_ = await inboxes.post(*USERS, rooms=["lobby"])
    await inboxes.told()
    assert await retractions.begin(id_) == "begun"
    if step != "begun":
        with pytest.MonkeyPatch.context() as patch:
            calls = 0
            remove = inboxes.inbox.remove

            async def dying(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == (1 if step == "told" else 3):
                    raise Unavailable("the node is dead")
                return await remove(*args, **kwargs)

            patch.setattr(inboxes.inbox, "remove", dying)
            with pytest.raises(Unavailable):
                await retractions.finish(id_)
    assert await retractions.begin(id_) == "begun", "it is not done yet"
    while not (items := (await due.claim(10, 600)).items):
        await asyncio.sleep(0.05)
    assert [(item.kind, item.id) for item in items] == [(RETRACT, id_)]
    await retractions.finish(items[0].id)
    told = [one.address for one in await inboxes.told()]
    assert sorted(told) == sorted(["room:/:lobby", *(f"user:/:{user}" for user in USERS)])
    assert await retractions.begin(id_) == "done"


async def test_pieces_that_come_after_it_are_not_published(
    inboxes: Inboxes, retractions: Retractions, due: Due
):
    one = await inboxes.entry("ada", once=("ntf_X", "0"), recipients=2)
    assert one.inbox is not None
    other = await inboxes.entry("bob", id_=one.inbox.id, once=("ntf_X", "32"), recipients=2)
    first = await inboxes.append(one)
    await inboxes.told()
    assert await retractions.begin(one.inbox.id) == "begun"
    assert await inboxes.append(other) == first, "nothing got an offset"
    await retractions.finish(one.inbox.id)
    assert [told.address for told in await inboxes.told()] == ["user:/:ada"]
    assert await inboxes.ids("bob") == []
    assert await inboxes.client.exists("notify:log:user:/:bob") == 0


async def test_who_let_it_go_before_is_not_told(inboxes: Inboxes, retractions: Retractions, due: Due):
    id_ = await inboxes.post("ada", "bob")
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    await inboxes.told()
    await retractions.begin(id_)
    await retractions.finish(id_)
    assert [told.address for told in await inboxes.told()] == ["user:/:bob"]


async def test_a_node_that_heals_leaves_out_what_was_retracted(
    inboxes: Inboxes, retractions: Retractions, due: Due
):
    begin = await inboxes.append(await inboxes.entry("cid"))
    gone, kept = [await inboxes.post(rooms=["lobby"]) for _ in range(2)]
    await retractions.begin(gone)
    await retractions.finish(gone)
    assert await inboxes.log.retracted([gone, kept]) == {gone}
    assert await inboxes.log.retracted([]) == frozenset()
    caught_up = await inboxes.log.catch_up(
        [(Channel("/", "room", "lobby"), begin, False)],
        reached=begin,
        heard_ms=await inboxes.now_ms(),
        window_ms=60_000,
    )
    assert [Message(message).notification_id for _, message in caught_up.missed] == [gone, kept]


async def test_unknown_ones_stay_unknown(retractions: Retractions, due: Due):
    for id_ in ("", "x", "ntf_" + "0" * 26, "ntf_*"):
        assert await retractions.begin(id_) == "unknown"


async def test_a_record_of_the_version_before_is_retracted(
    inboxes: Inboxes, retractions: Retractions, due: Due
):
    id_ = await inboxes.post("ada")
    array = await inboxes.body_of(id_)
    await inboxes.client.set(inboxes.keys.record(id_), b"1 1\nada\n" + array, keepttl=True)
    await inboxes.told()
    assert await retractions.begin(id_) == "begun"
    await retractions.finish(id_)
    assert [told.address for told in await inboxes.told()] == ["user:/:ada"]
    assert await status(inboxes, id_) == "retracted"


async def test_at_maxmemory_it_works_and_nothing_can_be_posted(own_inboxes: Inboxes):
    id_ = await own_inboxes.post("ada", rooms=["lobby"])
    retractions = Retractions(own_inboxes.redis, own_inboxes.keys, own_inboxes.inbox)
    await own_inboxes.told()
    await own_inboxes.client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable):
        await own_inboxes.post("ada")
    assert await status(own_inboxes, id_) == "accepted"
    assert await retractions.begin(id_) == "begun"
    await retractions.finish(id_)
    assert {told.address for told in await own_inboxes.told()} == {"room:/:lobby", "user:/:ada"}
    assert await status(own_inboxes, id_) == "retracted"
    assert isinstance(await own_inboxes.log.clock(), Offset)
