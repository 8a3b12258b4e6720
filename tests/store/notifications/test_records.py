"""What is kept of a notification, and what can be told of it."""

from __future__ import annotations

import pytest

from notify.domain.channel import Channel
from notify.domain.inbox import Mark
from notify.domain.notifications.notification_id import created_ms_of, new_id
from notify.store.notifications.record import NewRecord, Record
from notify.store.notifications.records import Records
from tests.store.inboxes import HOUR_MS, Inboxes

NOW_MS = 1_795_650_953_811


@pytest.fixture
def records(inboxes: Inboxes) -> Records:
    return Records(inboxes.redis, inboxes.keys)


def test_a_record_is_read_as_it_was_written():
    elsewhere = [Channel("/", "room", "a\nb:c"), Channel("/", "all")]
    head = NewRecord("ntf_X", 2, NOW_MS, elsewhere).head("ada", NOW_MS + 5)
    assert head.count(b"\n") == 3, "names bring no line feeds of their own"
    record = Record.parse(head + b'["notification",{"id":"ntf_X"}')
    assert record[:4] == (2, NOW_MS, NOW_MS + 5, "ada")
    assert record.shown == {"id": "ntf_X"}
    assert Record.parse(head).shown == {}
    assert NewRecord("ntf_X", 2, NOW_MS, kept=False).head("", NOW_MS) == b""


def test_the_version_before_is_read_and_a_later_one_is_not():
    record = Record.parse(b'1 1\nada\n["notification",{"id":"ntf_X"}')
    assert record[:4] == (1, None, None, "ada")
    assert record.shown == {"id": "ntf_X"}
    assert Record.parse(b"1 7\n") == (7, None, None, "", b"")
    for strange in (b"3 1 2 3\n\n\n", b"", b"x", b"2 1\n\n\n"):
        with pytest.raises(ValueError):
            Record.parse(strange)


def test_an_id_says_when_it_was_made():
    assert created_ms_of(new_id(NOW_MS)) == NOW_MS


async def test_what_went_into_inboxes_is_known_until_a_day_after_it_expired(
    inboxes: Inboxes, records: Records
):
    began_ms = await inboxes.now_ms()
    id_ = await inboxes.post("cid", "ada", "bob", ttl_ms=HOUR_MS)
    found = await records.find(id_)
    assert found is not None
    assert (found.status, found.recipients, found.holders) == ("accepted", 3, ["ada", "bob", "cid"])
    assert began_ms <= found.created_ms <= await inboxes.now_ms()
    assert found.expires_ms == found.created_ms + HOUR_MS
    assert found.shown == {"id": id_, "title": "Hello"}
    assert 25 * 3600 - 5 <= await inboxes.client.ttl(inboxes.keys.record(id_)) <= 25 * 3600


async def test_what_went_into_none_is_known_as_long_as_the_logs(inboxes: Inboxes, records: Records):
    id_ = await inboxes.post(rooms=["lobby"])
    found = await records.find(id_)
    assert found is not None
    assert (found.status, found.recipients, found.holders) == ("accepted", 0, [])
    assert 895 <= await inboxes.client.ttl(inboxes.keys.record(id_)) <= 900


async def test_what_has_expired_says_so_however_long_nobody_looks(inboxes: Inboxes, records: Records):
    id_ = await inboxes.post("ada", ttl_ms=150)
    late = await inboxes.post("ada", ttl_ms=-1)
    standing = await records.find(id_)
    assert standing is not None and standing.expires_ms is not None
    expires_ms = standing.expires_ms
    while await inboxes.now_ms() < expires_ms:
        pass
    for one in (id_, late):
        found = await records.find(one)
        assert found is not None and found.status == "expired"


async def test_when_the_last_one_lets_go_only_numbers_are_left(inboxes: Inboxes, records: Records):
    shared = await inboxes.post("ada", "bob", rooms=["lobby"])
    own = await inboxes.post("ada")
    before = {id_: await records.find(id_) for id_ in (shared, own)}
    for user in ("ada", "bob"):
        await inboxes.inbox.mark(user, Mark("deleted", ids=(shared, own)))
    for id_ in (shared, own):
        found, was = await records.find(id_), before[id_]
        assert found is not None and was is not None
        assert (found.holders, found.shown) == ([], {})
        assert found.recipients == was.recipients
        assert (found.created_ms, found.expires_ms) == (was.created_ms, was.expires_ms)
    assert b"room:/:lobby" in await inboxes.client.get(inboxes.keys.record(shared))


async def test_a_long_list_of_rooms_stays_when_the_body_goes(inboxes: Inboxes):
    rooms = [f"{number}-{'x' * 200}" for number in range(100)]
    id_ = await inboxes.post("ada", rooms=rooms)
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    left = await inboxes.client.get(inboxes.keys.record(id_))
    assert all(room.encode() in left for room in rooms)
    assert Record.parse(left).array == b""


async def test_records_of_the_version_before_are_found_and_let_go(inboxes: Inboxes, records: Records):
    id_ = await inboxes.post("ada", ttl_ms=HOUR_MS)
    key = inboxes.keys.record(id_)
    made = await records.find(id_)
    array = Record.parse(await inboxes.client.get(key)).array
    await inboxes.client.set(key, b"1 1\nada\n" + array, keepttl=True)
    assert await records.find(id_) == made
    assert await inboxes.ids("ada") == [id_]
    until_ms = await inboxes.now_ms() + 1000
    await inboxes.inbox.mark("ada", Mark("snoozed", ids=(id_,), until_ms=until_ms))
    await inboxes.pass_time("ada", 1000)
    await inboxes.told()
    await inboxes.inbox.snapshot("ada")
    assert [told.said["title"] for told in await inboxes.told()] == ["Hello"]
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    assert await inboxes.client.get(key) == b"1 1\n"


@pytest.mark.parametrize("id_", ["", "ntf_", "ntf_" + "X" * 26, "ntf_*", "x" * 5000])
async def test_unknown_ids_are_not_found(records: Records, id_: str):
    assert await records.find(id_) is None
