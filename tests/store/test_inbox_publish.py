"""What a publish does to inboxes, in one step with the log and the live message."""

from __future__ import annotations

from typing import Any

import pytest

from notify.domain.channel import Channel
from notify.domain.errors import Unavailable
from notify.domain.inbox import Counts, Mark, Query
from notify.domain.offset import Offset
from notify.store.log import Claim
from notify.store.notifications.record import Record
from tests.store.inboxes import HOUR_MS, Inboxes


async def test_a_notification_is_an_entry_and_tells_its_place(inboxes: Inboxes):
    before = await inboxes.inbox.snapshot("ada")
    id_ = await inboxes.post("ada", category="ci")
    (told,) = await inboxes.told("ada")
    page = await inboxes.inbox.page("ada", Query())
    (entry,) = page.entries
    assert (entry.id, entry.category, entry.shown) == (id_, "ci", {"id": id_, "title": "Hello"})
    assert entry.place == page.at.rev == before.rev + 1
    assert page.at.counts == Counts(1, 1, 1)
    assert told.said["inbox"] == {"rev": entry.place, "place": entry.place, "unseen": 1, "unread": 1}
    assert (told.event, told.said["id"]) == ("notification", id_)
    assert (told.message.notification_id, told.message.trace) == (id_, b"req-1")
    assert told.message.due_ms == entry.expires_ms == page.at.due_ms
    assert told.message.place == entry.place


async def test_each_user_of_a_piece_has_their_own_counts(inboxes: Inboxes):
    await inboxes.post("ada")
    await inboxes.told()
    id_ = await inboxes.post("ada", "bob")
    told = {one.address: one for one in await inboxes.told()}
    assert told["user:/:ada"].said["inbox"]["unseen"] == 2
    assert told["user:/:bob"].said["inbox"]["unseen"] == 1
    assert told["user:/:ada"].offset == told["user:/:bob"].offset
    assert await inboxes.ids("bob") == [id_]


async def test_who_is_left_out_of_the_inbox_has_no_entry_and_no_place(inboxes: Inboxes):
    await inboxes.post("ada", outside=["eve"], rooms=["lobby"])
    told = {one.address: one for one in await inboxes.told()}
    assert "inbox" in told["user:/:ada"].said
    assert "inbox" not in told["user:/:eve"].said
    assert "inbox" not in told["room:/:lobby"].said
    assert (await inboxes.inbox.snapshot("eve")).counts == Counts()


async def test_of_a_mixed_target_the_users_copy_comes_first_live_and_from_the_logs(inboxes: Inboxes):
    await inboxes.post("ada", rooms=["lobby"])
    first, second = await inboxes.told()
    assert (first.address, second.address) == ("user:/:ada", "room:/:lobby")
    assert first.offset == second.offset
    assert first.message.overlaps
    assert second.message.overlaps
    begin = Offset(first.offset.epoch, 0, 0)
    claim = Claim(
        "notify:session:p",
        ("notify:revoked:u", "notify:revoked:old"),
        "notify:orders:u",
        0,
        b"was",
        b"",
        b"is",
        60,
    )
    await inboxes.client.set(claim.session_key, claim.was, ex=60)
    places = [(Channel("/", "room", "lobby"), begin), (Channel("/", "user", "ada"), begin)]
    backlog = await inboxes.log.replay(places, reached=begin, most=10, claim=claim)
    assert [missed.channel.kind for missed in backlog.missed] == ["user", "room"]


async def test_a_piece_that_comes_again_is_in_each_inbox_once(inboxes: Inboxes):
    entry = await inboxes.entry("ada", "bob", once=("ntf_X", "0"))
    assert entry.inbox is not None
    first = await inboxes.append(entry)
    await inboxes.told()
    assert await inboxes.append(entry) == first
    assert await inboxes.told() == []
    assert len(await inboxes.ids("ada")) == len(await inboxes.ids("bob")) == 1
    assert await inboxes.client.llen(f"{inboxes.keys.record(entry.inbox.id)}:to") == 2


async def test_a_request_that_died_half_way_is_finished_by_its_retry(inboxes: Inboxes):
    one = await inboxes.entry("ada", "bob", once=("ntf_X", "0"), recipients=3)
    assert one.inbox is not None
    id_ = one.inbox.id
    other = await inboxes.entry("cid", id_=id_, once=("ntf_X", "32"), recipients=3)
    await inboxes.append(one)
    for piece in (one, other):
        await inboxes.append(piece)
    for user in ("ada", "bob", "cid"):
        assert await inboxes.ids(user) == [id_]
        assert (await inboxes.inbox.snapshot(user)).counts == Counts(1, 1, 1)
    assert await inboxes.client.lrange(f"{inboxes.keys.record(id_)}:to", 0, -1) == [b"ada", b"bob", b"cid"]


async def test_a_body_is_kept_once_until_the_last_inbox_lets_it_go(inboxes: Inboxes):
    id_ = await inboxes.post("ada", "bob")
    assert b"Hello" in await inboxes.body_of(id_)
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    assert b"Hello" in await inboxes.body_of(id_)
    await inboxes.inbox.mark("bob", Mark("deleted", ids=(id_,)))
    assert await inboxes.body_of(id_) == b""
    left = Record.parse(await inboxes.client.get(inboxes.keys.record(id_)))
    assert (left.recipients, left.user, left.array) == (2, "", b"")


async def test_a_later_piece_brings_a_body_back_that_the_earlier_ones_let_go(inboxes: Inboxes):
    id_ = await inboxes.post("ada", recipients=2)
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    assert await inboxes.body_of(id_) == b""
    await inboxes.post("bob", id_=id_, recipients=2)
    assert await inboxes.ids("bob") == [id_]


async def test_the_name_of_the_only_user_goes_with_the_body(inboxes: Inboxes):
    id_ = await inboxes.post("ada")
    record: Any = await inboxes.client.get(inboxes.keys.record(id_))
    assert b"ada" in record
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    kept = await inboxes.client.get(inboxes.keys.record(id_))
    assert b"ada" not in kept
    assert Record.parse(kept).recipients == 1


async def test_the_newer_of_a_collapse_key_takes_the_older_ones_place(inboxes: Inboxes):
    older = await inboxes.post("ada", collapse_key="build")
    between = await inboxes.post("ada", collapse_key="other")
    await inboxes.inbox.mark("ada", Mark("read", ids=(older,)))
    await inboxes.told()
    newer = await inboxes.post("ada", "bob", collapse_key="build")
    removed, posted = await inboxes.told("ada")
    assert (removed.event, removed.said["ids"], removed.said["reason"]) == (
        "notification:removed",
        [older],
        "collapsed",
    )
    assert removed.counts == Counts(1, 1, 1)
    assert posted.offset.follows(removed.offset)
    assert posted.said["inbox"]["rev"] == removed.said["rev"] + 1
    assert await inboxes.ids("ada") == [newer, between]
    assert await inboxes.ids("ada", "unread") == [newer, between]
    assert await inboxes.body_of(older) == b""


async def test_a_collapse_key_is_free_again_when_its_entry_is_gone(inboxes: Inboxes):
    first = await inboxes.post("ada", collapse_key="build")
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(first,)))
    await inboxes.told()
    await inboxes.post("ada", collapse_key="build")
    assert [one.event for one in await inboxes.told("ada")] == ["notification"]


async def test_the_oldest_goes_when_there_are_too_many(inboxes: Inboxes):
    inboxes.most(3)
    first, second, third = [await inboxes.post("ada") for _ in range(3)]
    await inboxes.inbox.mark("ada", Mark("archived", ids=(first,)))
    await inboxes.told()
    fourth = await inboxes.post("ada")
    removed, posted = await inboxes.told("ada")
    assert (removed.said["ids"], removed.said["reason"]) == ([first], "trimmed")
    assert removed.counts == Counts(2, 2, 2), "what is archived is in no count, and goes as well"
    assert posted.said["inbox"]["rev"] == removed.said["rev"] + 1
    fifth = await inboxes.post("ada")
    assert await inboxes.ids("ada") == [fifth, fourth, third]
    assert second not in await inboxes.ids("ada")


async def test_one_entry_is_kept_at_least(inboxes: Inboxes):
    inboxes.most(1)
    ids = [await inboxes.post("ada") for _ in range(3)]
    assert await inboxes.ids("ada") == ids[2:]


async def test_a_limit_that_was_lowered_is_reached_by_the_next_publish(inboxes: Inboxes):
    ids = [await inboxes.post("ada") for _ in range(260)]
    inboxes.most(10)
    await inboxes.told()
    ids.append(await inboxes.post("ada"))
    *removed, posted = await inboxes.told("ada")
    assert {one.said["reason"] for one in removed} == {"trimmed"}
    assert sorted(id_ for one in removed for id_ in one.said["ids"]) == sorted(ids[:251])
    assert max(len(one.said["ids"]) for one in removed) <= 100
    assert posted.said["inbox"]["unseen"] == 10
    assert await inboxes.ids("ada") == ids[:250:-1]


async def test_what_expires_is_told_before_what_is_trimmed_and_both_before_what_comes(inboxes: Inboxes):
    oldest = await inboxes.post("ada")
    expiring = await inboxes.post("ada", ttl_ms=HOUR_MS)
    await inboxes.pass_time("ada", HOUR_MS)
    inboxes.most(1)
    await inboxes.told()
    newest = await inboxes.post("ada", "bob")
    told = await inboxes.told()
    assert [(one.address[-3:], one.event, one.said.get("reason")) for one in told] == [
        ("ada", "notification:removed", "expired"),
        ("ada", "notification:removed", "trimmed"),
        ("ada", "notification", None),
        ("bob", "notification", None),
    ]
    assert [one.said["ids"] for one in told[:2]] == [[expiring], [oldest]]
    assert [one.said["rev"] - told[0].said["rev"] for one in told[:2]] == [0, 1]
    assert told[2].said["inbox"]["rev"] == told[1].said["rev"] + 1
    offsets = [one.offset for one in told]
    assert offsets == sorted(offsets)
    assert len(set(offsets)) == 3, "each change has one of its own, the notification one for all"
    assert await inboxes.ids("ada") == [newest]


async def test_what_has_expired_before_it_came_is_delivered_and_in_no_inbox(inboxes: Inboxes):
    await inboxes.post("ada", ttl_ms=-1)
    (told,) = await inboxes.told("ada")
    assert "inbox" not in told.said
    assert await inboxes.ids("ada") == []


async def test_more_due_than_one_call_may_do_is_done_first(inboxes: Inboxes):
    ids = [await inboxes.post("ada", "bob", ttl_ms=HOUR_MS) for _ in range(130)]
    for user in ("ada", "bob"):
        await inboxes.pass_time(user, HOUR_MS)
    await inboxes.told()
    newest = await inboxes.post("ada", "bob")
    *expired, last = await inboxes.told("ada")
    assert sorted(id_ for one in expired for id_ in one.said["ids"]) == sorted(ids)
    assert [len(one.said["ids"]) for one in expired] == [100, 30]
    assert last.said["id"] == newest
    assert last.said["inbox"]["unseen"] == 1
    assert await inboxes.ids("bob") == [newest]


async def test_a_full_redis_takes_no_half_of_a_publish_and_still_serves_inboxes(own_inboxes: Inboxes):
    inboxes = own_inboxes
    ids = [await inboxes.post("ada", "bob", collapse_key=str(n)) for n in range(3)]
    await inboxes.post("ada", ttl_ms=HOUR_MS)
    await inboxes.pass_time("ada", HOUR_MS)
    await inboxes.client.config_set("maxmemory", 1)
    await inboxes.told()
    with pytest.raises(Unavailable, match="does not accept writes"):
        await inboxes.post("ada", collapse_key="0")
    assert await inboxes.told() == []
    assert await inboxes.ids("ada") == ids[::-1], "the sweep of a list is no write that may wait"
    for what in ("seen", "read", "archived"):
        assert (await inboxes.inbox.mark("ada", Mark(what, ids=(ids[0],)))).changed == 1
    assert await inboxes.inbox.remove(ids[1], ["ada", "bob"], reason="retracted") == 2
    assert (await inboxes.inbox.mark("ada", Mark("deleted", ids=(ids[2],)))).changed == 1
    assert await inboxes.inbox.check("ada") == []
    await inboxes.inbox.erase("ada")
    await inboxes.client.config_set("maxmemory", 0)
    await inboxes.post("ada")
    assert (await inboxes.inbox.snapshot("ada")).counts == Counts(1, 1, 1)


async def test_offsets_go_on_from_the_clock(inboxes: Inboxes):
    first = await inboxes.append(await inboxes.entry("ada"))
    await inboxes.inbox.mark("ada", Mark("seen", up_to=10**14))
    *_, change = await inboxes.told()
    second = await inboxes.append(await inboxes.entry("ada"))
    assert change.offset.follows(first)
    assert second.follows(change.offset)
    at = await inboxes.inbox.snapshot("ada")
    assert Offset.parse(at.clock) == second
