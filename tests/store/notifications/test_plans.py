"""Plans at a Redis that is full, and lifetimes of what scheduling writes."""

from __future__ import annotations

from notify.domain.errors import Unavailable
from notify.domain.notifications.notification import Accepted, Notification, Target
from notify.domain.notifications.notification_id import new_id
from notify.domain.notifications.plan import Plan
from notify.store.notifications.due import Due
from notify.store.notifications.plans import DELIVER, Plans
from tests.store.inboxes import HOUR_MS, Inboxes
from tests.support.due import ahead


async def plan(inboxes: Inboxes) -> Plan:
    now_ms = await inboxes.now_ms()
    accepted = Accepted(new_id(now_ms), now_ms, now_ms + 2 * HOUR_MS, deliver_ms=now_ms + HOUR_MS)
    return Plan(accepted, Notification(Target(("ada",)), title="Later"), "req-1")


async def test_scheduling_is_refused_at_maxmemory_and_cancelling_is_not(own_inboxes: Inboxes):
    due = Due(own_inboxes.redis, own_inboxes.keys)
    plans = Plans(own_inboxes.redis, own_inboxes.keys, due)
    kept, refused = await plan(own_inboxes), await plan(own_inboxes)
    assert await plans.keep((kept, b"1 1\nada\n[")) == [None]
    await own_inboxes.client.config_set("maxmemory", 1)
    await own_inboxes.client.config_set("maxmemory-policy", "noeviction")
    (outcome,) = await plans.keep((refused, b"1 1\nada\n["))
    assert isinstance(outcome, Unavailable)
    assert await plans.read([refused.accepted.id]) == [None]
    assert await ahead(own_inboxes.redis, own_inboxes.keys) == (1, kept.deliver_ms)
    assert await plans.read([kept.accepted.id]) == [kept]
    await plans.drop(kept.accepted.id)
    assert await ahead(own_inboxes.redis, own_inboxes.keys) == (0, None)
    assert await plans.read([kept.accepted.id]) == [None]


async def test_a_second_try_changes_nothing(inboxes: Inboxes):
    due = Due(inboxes.redis, inboxes.keys)
    plans = Plans(inboxes.redis, inboxes.keys, due)
    one = await plan(inboxes)
    assert await plans.keep((one, b"first"), (one, b"second")) == [None, None]
    assert await inboxes.client.get(inboxes.keys.record(one.accepted.id)) == b"first"
    await plans.drop(one.accepted.id)
    await inboxes.client.hset(inboxes.keys.sent(one.accepted.id), "0", "an offset")
    await inboxes.client.expire(inboxes.keys.sent(one.accepted.id), 60)
    assert await plans.keep((one, b"third")) == [None]
    assert await ahead(inboxes.redis, inboxes.keys) == (0, None)
    assert await inboxes.redis.execute("EXISTS", inboxes.keys.plan(one.accepted.id)) == 0


async def test_its_place_on_the_due_list_is_its_own(inboxes: Inboxes):
    due = Due(inboxes.redis, inboxes.keys)
    plans = Plans(inboxes.redis, inboxes.keys, due)
    one = await plan(inboxes)
    await plans.keep((one, b"first"))
    await due.add("retract", one.accepted.id, 0)
    await due.done(DELIVER, one.accepted.id)
    assert await ahead(inboxes.redis, inboxes.keys) == (1, 0)
