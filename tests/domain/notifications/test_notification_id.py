"""Ids of notifications are ULIDs."""

from __future__ import annotations

from ulid import ULID

from notify.domain.notifications.notification_id import derived_id, new_id

NOW_MS = 1_795_000_000_123


def test_an_id_is_a_ulid_of_its_time():
    made = new_id(NOW_MS)
    assert made.startswith("ntf_")
    ulid = ULID.from_str(made.removeprefix("ntf_"))
    assert ulid.milliseconds == NOW_MS
    assert str(ulid) == made.removeprefix("ntf_")


def test_ids_differ_and_sort_by_time():
    ids = [new_id(NOW_MS + number) for number in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert len({new_id(NOW_MS) for _ in range(1000)}) == 1000


def test_the_items_of_a_batch_get_the_same_ids_again():
    base = new_id(NOW_MS)
    first = [derived_id(base, index, NOW_MS) for index in range(100)]
    assert first == [derived_id(base, index, NOW_MS) for index in range(100)]
    assert len(set(first)) == 100
    assert not set(first) & {derived_id(new_id(NOW_MS), index, NOW_MS) for index in range(100)}
    assert {ULID.from_str(one.removeprefix("ntf_")).milliseconds for one in first} == {NOW_MS}
