"""The due list: who gets what, when, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from notify.domain.errors import NotifyError
from notify.domain.notifications.notification_id import new_id
from notify.store.notifications.due import Due, Item
from tests.store.inboxes import HOUR_MS, Inboxes
from tests.support.due import next_ms


@pytest.fixture
def due(inboxes: Inboxes) -> Due:
    return Due(inboxes.redis, inboxes.keys)


async def test_what_is_due_is_claimed_once_the_earliest_first(inboxes: Inboxes, due: Due):
    now_ms = await inboxes.now_ms()
    ids = [new_id(now_ms) for _ in range(4)]
    for id_, at_ms in zip(ids, (now_ms - 1, now_ms - 3, now_ms - 2, now_ms + HOUR_MS), strict=True):
        await due.add("deliver", id_, at_ms)
    first, second = await asyncio.gather(due.claim(2, HOUR_MS // 2), due.claim(2, HOUR_MS // 2))
    assert (first.count, first.next_in_ms) == (4, 0)
    assert first.items == [Item("deliver", ids[1]), Item("deliver", ids[2])]
    assert second.items == [Item("deliver", ids[0])]
    nothing = await due.claim(10, 1000)
    assert (nothing.items, nothing.count) == ([], 4)
    assert HOUR_MS // 2 - 20_000 < (nothing.next_in_ms or 0) <= HOUR_MS // 2


async def test_a_claim_ends_by_itself(inboxes: Inboxes, due: Due):
    id_ = new_id(0)
    await due.add("retract", id_, 0)
    before_ms = await inboxes.now_ms()
    assert (await due.claim(1, 50)).items == [Item("retract", id_)]
    ends_ms = await next_ms(inboxes.redis, inboxes.keys)
    assert ends_ms is not None
    assert before_ms + 50 <= ends_ms <= await inboxes.now_ms() + 50
    while not (again := (await due.claim(1, HOUR_MS)).items):
        await asyncio.sleep(0.005)
    assert again == [Item("retract", id_)]
    assert await inboxes.now_ms() >= ends_ms


async def test_what_is_done_is_off_the_list_and_the_key_with_it(inboxes: Inboxes, due: Due):
    await due.add("deliver", "ntf_1", 0)
    await due.add("retract", "ntf_1", 0)
    await due.done("deliver", "ntf_1")
    assert (await due.claim(10, 1)).items == [Item("retract", "ntf_1")]
    await due.done("retract", "ntf_1")
    assert await next_ms(inboxes.redis, inboxes.keys) is None
    assert not await inboxes.client.exists(inboxes.keys.due)


async def test_postponing_brings_nothing_back(inboxes: Inboxes, due: Due):
    await due.add("deliver", "ntf_1", 0)
    (item,) = (await due.claim(1, HOUR_MS)).items
    await due.postpone(item, 7)
    assert await next_ms(inboxes.redis, inboxes.keys) == 7
    await due.done("deliver", "ntf_1")
    await due.postpone(item, 7)
    assert await next_ms(inboxes.redis, inboxes.keys) is None


async def test_the_node_hears_of_what_it_adds(due: Due):
    heard: list[int] = []
    due.on_added = heard.append
    await due.add("deliver", "ntf_1", 12)
    assert heard == [12]


async def test_the_list_works_at_maxmemory(own_inboxes: Inboxes):
    due = Due(own_inboxes.redis, own_inboxes.keys)
    await own_inboxes.client.config_set("maxmemory", 1)
    await own_inboxes.client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(NotifyError):
        await own_inboxes.redis.execute("SET", "notify:x", "y")
    await due.add("retract", "ntf_1", 0)
    assert (await due.claim(1, 1)).items == [Item("retract", "ntf_1")]
    await due.done("retract", "ntf_1")
    assert await next_ms(own_inboxes.redis, own_inboxes.keys) is None
