"""Scheduling and delivering, on a real Valkey: kept whole, delivered once, forgotten afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from notify.domain.errors import Invalid, NotifyError, Unavailable
from notify.domain.inbox import Counts, Query
from notify.domain.moments import timestamp
from notify.domain.notifications.notification import Accepted, Notification, Target
from notify.domain.notifications.plan import KEPT_MS, Plan
from notify.service.deliverer import Deliverer
from notify.service.pieces import PIECE
from notify.service.publish import Idempotency, Publisher
from notify.service.stats import ServiceStats
from notify.store.idempotency import IdempotencyKeys
from notify.store.log import Entry
from notify.store.notifications.due import Due
from notify.store.notifications.plans import Plans
from notify.store.notifications.record import Record
from notify.store.notifications.records import Records
from tests.store.inboxes import HOUR_MS, Inboxes
from tests.support.due import ahead
from tests.support.valkey import Valkey


class Later:
    """A publisher and a deliverer whose time is set by the test."""

    def __init__(self, inboxes: Inboxes, now_ms: int) -> None:
        self.inboxes = inboxes
        self.keys = inboxes.keys
        self.now_ms = now_ms
        self.stats = ServiceStats()
        self.due = Due(inboxes.redis, inboxes.keys)
        self.plans = Plans(inboxes.redis, inboxes.keys, self.due)
        self.publisher = Publisher(
            log=inboxes.log,
            plans=self.plans,
            idempotency_keys=IdempotencyKeys(inboxes.redis, inboxes.keys),
            stats=self.stats,
            now=lambda: self.now_ms / 1000,
            trace=lambda: "req-1",
            inbox_ttl_s=7200,
        )
        self.deliverer = Deliverer(
            log=inboxes.log, plans=self.plans, stats=self.stats, now_ms=lambda: self.now_ms
        )

    async def schedule(
        self, *users: str, in_ms: int = HOUR_MS, key: str | None = None, **fields: Any
    ) -> Accepted:
        target = fields.pop("target", Target(users))
        notification = Notification(target, **{"title": "Hi", "deliver_at_ms": self.now_ms + in_ms, **fields})
        idempotency = None if key is None else Idempotency("tests", key, b"the body", b"the meaning")
        return await self.publisher.publish(notification, idempotency=idempotency)

    async def left(self, id_: str) -> list[str]:
        """Of a schedule, what is still in Redis."""
        client, found = self.inboxes.client, []
        if await client.exists(self.keys.plan(id_)):
            found.append("plan")
        if (await ahead(self.inboxes.redis, self.keys))[0]:
            found.append("due")
        return found


@pytest.fixture
async def later(valkey: Valkey) -> AsyncIterator[Later]:
    async with Inboxes(valkey.tcp_url) as inboxes:
        yield Later(inboxes, await inboxes.now_ms())


async def test_it_waits_with_a_record_and_tells_nobody(later: Later):
    heard: list[int] = []
    later.due.on_added = heard.append
    accepted = await later.schedule("ada", "bob", ttl_s=60)
    deliver_ms = later.now_ms + HOUR_MS
    assert (accepted.status, accepted.deliver_ms) == ("scheduled", deliver_ms)
    assert accepted.expires_ms == deliver_ms + 60_000
    assert await later.inboxes.told() == []
    assert await later.inboxes.ids("ada") == []
    assert heard == [deliver_ms]
    assert await ahead(later.inboxes.redis, later.keys) == (1, deliver_ms)
    client, keys = later.inboxes.client, later.keys
    for name in (keys.plan(accepted.id), keys.record(accepted.id)):
        assert await client.pexpiretime(name) == accepted.expires_ms + KEPT_MS
    record = Record.parse(await client.get(keys.record(accepted.id)))
    assert (record.recipients, record.user, record.expires_ms) == (2, "", accepted.expires_ms)
    shown = orjson.loads(record.array + b"]")[1]
    assert (shown["id"], shown["deliver_at"]) == (accepted.id, timestamp(deliver_ms))
    assert (later.stats.scheduled, later.stats.channels) == ({"accepted": 1}, 0)


async def test_a_time_that_has_passed_is_now(later: Later):
    for in_ms in (0, -1, -HOUR_MS):
        accepted = await later.schedule("ada", in_ms=in_ms, ttl_s=60)
        assert (accepted.status, accepted.expires_ms) == ("accepted", later.now_ms + 60_000)
        assert await later.left(accepted.id) == []
    assert (await later.inboxes.inbox.snapshot("ada")).counts == Counts(3, 3, 3)


async def test_everything_counts_from_delivery(later: Later):
    older = await later.schedule("ada", collapse_key="k", in_ms=-1)
    accepted = await later.schedule("ada", collapse_key="k", ttl_s=90 * 60)
    assert await later.inboxes.ids("ada") == [older.id], "it collapses nothing before its time"
    await later.inboxes.told()
    later.now_ms += HOUR_MS + 5
    await later.deliverer.deliver([accepted.id])
    removed, came = await later.inboxes.told()
    assert (removed.said["ids"], removed.said["reason"]) == ([older.id], "collapsed")
    assert came.said["id"] == accepted.id
    assert came.said["expires_at"] == timestamp(accepted.expires_ms or 0)
    assert came.said["created_at"] == timestamp(accepted.created_ms)
    assert came.said["deliver_at"] == timestamp(accepted.deliver_ms or 0)
    assert came.message.trace == b"req-1", "the request that it came by"
    (entry,) = (await later.inboxes.inbox.page("ada", Query())).entries
    assert (entry.id, entry.expires_ms) == (accepted.id, accepted.expires_ms)
    assert await later.left(accepted.id) == []
    assert later.stats.scheduled == {"accepted": 1, "delivered": 1}
    assert later.stats.late.total_s == 0.005


async def test_an_inboxs_own_limit_counts_from_delivery_too(later: Later):
    accepted = await later.schedule("ada", ttl_s=30 * 24 * 3600)
    assert accepted.expires_ms == (accepted.deliver_ms or 0) + 7200 * 1000


@pytest.mark.parametrize(
    "target",
    [
        Target(rooms=("lobby",)),
        Target(rooms=("lobby", "hall")),
        Target(all=True),
        Target(("ada", "bob"), ("lobby",), all=True, except_users=frozenset({"bob", "eve"})),
        Target(tuple(f"user-{n}" for n in range(3 * PIECE + 1))),
    ],
)
async def test_any_target_gets_what_it_would_have_got_at_once(later: Later, target: Target):
    now = await later.schedule(target=target, in_ms=0)
    at_once = await later.inboxes.told()
    accepted = await later.schedule(target=target)
    await later.deliverer.deliver([accepted.id])
    told = await later.inboxes.told()
    assert [one.address for one in told] == [one.address for one in at_once]
    for one, like in zip(told, at_once, strict=True):
        assert one.message.except_users == like.message.except_users
        assert one.message.overlaps == like.message.overlaps
        assert one.said.keys() - {"deliver_at"} == like.said.keys()
        assert (one.said["id"], like.said["id"]) == (accepted.id, now.id)


async def test_an_ephemeral_one_is_in_no_log_then_either(later: Later):
    accepted = await later.schedule("ada", ttl_s=0, target=Target(("ada",)))
    assert accepted.expires_ms is None
    await later.deliverer.deliver([accepted.id])
    (told,) = await later.inboxes.told()
    assert "expires_at" not in told.said
    assert not await later.inboxes.client.exists(later.keys.log_prefix + told.address)
    assert accepted.deliver_ms is not None
    standing = await Records(later.inboxes.redis, later.keys).find(accepted.id)
    assert standing is not None, "it is known beyond its delivery"
    assert (standing.status, standing.shown["deliver_at"]) == ("accepted", timestamp(accepted.deliver_ms))
    kept_until_ms = await later.inboxes.client.pexpiretime(later.keys.record(accepted.id))
    assert kept_until_ms == accepted.deliver_ms + KEPT_MS


async def test_however_many_are_at_it_each_piece_is_delivered_once(later: Later):
    accepted = await later.schedule(*(f"user-{n}" for n in range(100)))
    await asyncio.gather(*(later.deliverer.deliver([accepted.id]) for _ in range(5)))
    told = await later.inboxes.told()
    assert len(told) == len({one.address for one in told}) == 100
    await later.deliverer.deliver([accepted.id])
    assert await later.inboxes.told() == []


async def test_who_dies_half_way_is_finished_by_another_even_days_later(later: Later, monkeypatch):
    accepted = await later.schedule(*(f"user-{n}" for n in range(100)), ttl_s=1000)
    append = later.inboxes.log.append

    async def half(*entries: Entry) -> list[Any]:
        return [*await append(*entries[:2]), *[Unavailable("dead") for _ in entries[2:]]]

    monkeypatch.setattr(later.inboxes.log, "append", half)
    (error,) = (await later.deliverer.deliver([accepted.id])).values()
    assert isinstance(error, Unavailable)
    monkeypatch.undo()
    assert len(await later.inboxes.told()) == 2 * PIECE
    assert await later.left(accepted.id) == ["plan", "due"]
    client, keys = later.inboxes.client, later.keys
    sent, plan = [await client.pttl(name) for name in (keys.sent(accepted.id), keys.plan(accepted.id))]
    assert sent + HOUR_MS >= plan - 2_000, "what was delivered is remembered for as long as there is a plan"
    await later.deliverer.deliver([accepted.id])
    assert len(await later.inboxes.told()) == 100 - 2 * PIECE


async def test_what_expired_while_no_node_lived_is_not_delivered(later: Later):
    accepted = await later.schedule("ada", ttl_s=60)
    later.now_ms = accepted.expires_ms or 0
    await later.deliverer.deliver([accepted.id])
    assert await later.inboxes.told() == []
    assert await later.left(accepted.id) == []
    assert later.stats.scheduled == {"accepted": 1, "expired": 1}


async def test_a_place_on_the_list_without_a_plan_is_cleared(later: Later):
    accepted = await later.schedule("ada")
    await later.inboxes.client.delete(later.keys.plan(accepted.id))
    await later.deliverer.deliver([accepted.id])
    assert await later.left(accepted.id) == []
    assert await later.inboxes.told() == []


async def test_a_plan_of_a_newer_version_is_left_alone(later: Later):
    accepted = await later.schedule("ada")
    await later.inboxes.client.set(later.keys.plan(accepted.id), b'{"v":2}', px=HOUR_MS)
    other = await later.schedule("bob")
    failed = await later.deliverer.deliver([accepted.id, other.id])
    assert {id_: type(error) for id_, error in failed.items()} == {accepted.id: ValueError}
    assert await later.left(accepted.id) == ["plan", "due"]
    (told,) = await later.inboxes.told()
    assert told.said["id"] == other.id, "it keeps no other back"


async def test_a_retry_schedules_no_second_one_whatever_became_of_the_first(later: Later):
    first = await later.schedule("ada", key="k")
    again = await later.schedule("ada", key="k")
    assert again == Accepted(first.id, first.created_ms, first.expires_ms, True, first.deliver_ms)
    # a request that died before it was answered, and was delivered since
    await later.deliverer.deliver([first.id])
    idempotency = later.keys.idempotency("tests", "k")
    await later.inboxes.client.hset(idempotency, "lease", 1)
    assert (await later.schedule("ada", key="k")).id == first.id
    assert await later.left(first.id) == []
    # or was retracted
    second = await later.schedule("ada", key="l")
    await later.inboxes.client.set(later.keys.retracted(second.id), 1, px=HOUR_MS)
    await later.plans.drop(second.id)
    await later.inboxes.client.hset(later.keys.idempotency("tests", "l"), "lease", 1)
    await later.schedule("ada", key="l")
    assert await later.left(second.id) == []


async def test_the_answer_stays_the_same_when_the_time_has_passed(later: Later):
    first = await later.schedule("ada", key="k", in_ms=1000)
    later.now_ms += 5000
    again = await later.schedule("ada", key="k", in_ms=-4000)
    assert (again.status, again.replayed, again.expires_ms) == ("scheduled", True, first.expires_ms)


async def test_a_batch_holds_both_kinds(later: Later):
    soon, now = later.now_ms + HOUR_MS, Notification(Target(("ada",)), title="Now")
    items: list[Notification | NotifyError] = [
        Notification(Target(("ada",)), title="Later", deliver_at_ms=soon),
        Invalid("no"),
        now,
        Notification(Target(rooms=("lobby",)), deliver_at_ms=soon + 1),
    ]
    idempotency = Idempotency("tests", "batch", b"the body", b"the meaning")
    results = await later.publisher.publish_batch(items, idempotency=idempotency)
    assert [getattr(one, "status", None) for one in results] == ["scheduled", 422, "accepted", "scheduled"]
    assert len(await later.inboxes.told()) == 1
    assert await ahead(later.inboxes.redis, later.keys) == (2, soon)
    again = await later.publisher.publish_batch(items, idempotency=idempotency)
    assert [getattr(one, "id", None) for one in again] == [getattr(one, "id", None) for one in results]
    assert await ahead(later.inboxes.redis, later.keys) == (2, soon)
    plan = (await later.plans.read([results[0].id]))[0]  # type: ignore[union-attr]
    assert isinstance(plan, Plan)
    assert plan.notification == items[0]
