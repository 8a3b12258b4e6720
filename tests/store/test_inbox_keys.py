"""What inboxes leave in Redis, how long, and whether it agrees with itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from notify.domain.inbox import Counts, Mark, Query
from tests.store.inboxes import HOUR_MS, Inboxes

DAY_S = 24 * 3600


async def test_keys_live_as_long_as_what_stays_longest(inboxes: Inboxes):
    await inboxes.post("ada", "bob", ttl_ms=50 * HOUR_MS, collapse_key="x")
    id_ = await inboxes.post("ada", ttl_ms=HOUR_MS, collapse_key="y")
    key = inboxes.keys.inbox("ada")
    for name in (key, f"{key}:order", f"{key}:entries", f"{key}:collapse"):
        assert 50 * 3600 <= await inboxes.client.ttl(name) <= 52 * 3600, name
        assert await inboxes.client.pexpiretime(name) == await inboxes.client.pexpiretime(key), name
    record = inboxes.keys.record(id_)
    assert DAY_S + 3590 <= await inboxes.client.ttl(record) <= DAY_S + 3600


async def test_an_inbox_that_was_empty_has_a_lifetime_again(inboxes: Inboxes):
    id_ = await inboxes.post("ada")
    await inboxes.inbox.mark("ada", Mark("deleted", ids=(id_,)))
    await inboxes.post("ada", ttl_ms=HOUR_MS)
    assert await inboxes.eternal_keys() == []


async def test_the_counter_outlives_the_entries_by_a_day_at_least(inboxes: Inboxes):
    await inboxes.post("ada", ttl_ms=1000, collapse_key="x")
    await inboxes.inbox.snapshot("bob")
    for user in ("ada", "bob"):
        assert DAY_S <= await inboxes.client.ttl(inboxes.keys.inbox(user)) <= DAY_S + 2 * 3600


async def test_no_count_outlives_what_was_counted(inboxes: Inboxes):
    await inboxes.post("ada", ttl_ms=HOUR_MS, collapse_key="x")
    rev = (await inboxes.inbox.snapshot("ada")).rev
    key = inboxes.keys.inbox("ada")
    names = [key, f"{key}:order", f"{key}:entries", f"{key}:collapse"]
    ends = {await inboxes.client.pexpiretime(name) for name in names}
    assert len(ends) == 1, "they end in the same moment"
    await inboxes.client.delete(*names)  # as they do
    while await inboxes.now_ms() <= rev:
        pass
    at = await inboxes.inbox.snapshot("ada")
    assert (at.counts, at.due_ms) == (Counts(), None)
    assert at.rev > rev


async def test_rev_begins_with_the_time_and_never_runs_backwards(inboxes: Inboxes):
    began_ms = await inboxes.now_ms()
    first = await inboxes.inbox.snapshot("ada")
    assert began_ms <= first.rev <= await inboxes.now_ms()
    await inboxes.post("ada")
    rev = (await inboxes.inbox.snapshot("ada")).rev
    await inboxes.inbox.erase("ada")
    while await inboxes.now_ms() <= rev:
        pass
    assert (await inboxes.inbox.snapshot("ada")).rev > rev


async def test_an_erased_inbox_leaves_no_key_and_no_name(inboxes: Inboxes):
    ids = [await inboxes.post("erika", collapse_key=str(n)) for n in range(450)]
    shared = await inboxes.post("erika", "bob", collapse_key="s")
    await inboxes.inbox.mark("erika", Mark("deleted", ids=(ids.pop(),)))
    assert await inboxes.client.exists(f"{inboxes.keys.inbox('erika')}:gone") == 1
    await inboxes.client.delete("notify:log:user:/:erika", "notify:last:user:/:erika")
    await inboxes.told()
    await inboxes.inbox.erase("erika")
    assert await inboxes.told() == []
    async for name in inboxes.client.scan_iter(count=1000):
        assert b"erika" not in name
        kind = await inboxes.client.type(name)
        held: dict[Any, Callable[[Any], Awaitable[Any]]] = {
            b"string": inboxes.client.get,
            b"list": lambda name: inboxes.client.lrange(name, 0, -1),
            b"hash": inboxes.client.hgetall,
            b"zset": lambda name: inboxes.client.zrange(name, 0, -1),
            b"stream": inboxes.client.xrange,
        }
        assert "erika" not in repr(await held[kind](name)), name
    assert await inboxes.body_of(ids[0]) == b""
    assert await inboxes.ids("bob") == [shared]
    assert (await inboxes.inbox.snapshot("erika")).counts == Counts()


async def test_an_inbox_agrees_with_itself(inboxes: Inboxes):
    assert await inboxes.inbox.check("ada") == []
    ids = [await inboxes.post("ada", category="ci", collapse_key=str(n % 3)) for n in range(5)]
    now_ms = await inboxes.now_ms()
    await inboxes.inbox.mark("ada", Mark("snoozed", ids=(ids[-1],), until_ms=now_ms + HOUR_MS))
    await inboxes.inbox.mark("ada", Mark("archived", ids=(ids[-2],)))
    assert await inboxes.inbox.check("ada") == []
    await inboxes.pass_time("ada", HOUR_MS)
    assert await inboxes.inbox.check("ada") == [], "what is due and not swept yet is no fault"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (("ZADD", ":order", "5", "x" * 26), {"ids in order"}),
        (("HSET", ":entries", "x" * 26, b"\0" * 33), {"counts", "entries", "ids in order", "bodies missing"}),
        (("HDEL", ":collapse", "key"), {"collapse keys"}),
        (("PERSIST", ":order"), {"end of the order"}),
        (("EXPIRE", ":entries", "5"), {"end of the entries"}),
        (("DEL", ""), {"entries without a counter"}),
        (("SETRANGE", "", "14", b"\0\0\0\7"), {"counts"}),
        (("SETRANGE", "", "22", b"\x7f\xff\xff\xff\xff\xff"), {"next due"}),
        (("SETRANGE", "", "0", b"\0\0\0\0\0\1"), {"rev"}),
    ],
)
async def test_damage_is_found(own_inboxes: Inboxes, damage, found: set[str]):
    await own_inboxes.post("ada", collapse_key="key")
    command, suffix, *rest = damage
    await own_inboxes.client.execute_command(command, own_inboxes.keys.inbox("ada") + suffix, *rest)
    findings = await own_inboxes.inbox.check("ada")
    assert {finding.what for finding in findings} >= found
    assert all(finding.kept != finding.found for finding in findings)


async def test_a_body_that_is_gone_is_found_and_spoils_no_page(inboxes: Inboxes):
    lost, kept = await inboxes.post("ada"), await inboxes.post("ada")
    await inboxes.client.delete(inboxes.keys.record(lost))
    assert [entry.id for entry in (await inboxes.inbox.page("ada", Query())).entries] == [kept]
    (finding,) = await inboxes.inbox.check("ada")
    assert finding.what == "bodies missing"
    until_ms = await inboxes.now_ms() + HOUR_MS
    await inboxes.inbox.mark("ada", Mark("snoozed", ids=(lost,), until_ms=until_ms))
    await inboxes.pass_time("ada", HOUR_MS)
    assert (await inboxes.inbox.snapshot("ada")).counts.total == 2


async def test_an_entry_costs_at_most_250_bytes(inboxes: Inboxes):
    for count in (100, 1000):
        missing = count - (await inboxes.inbox.snapshot("ada")).counts.total
        await inboxes.log.append(*[await inboxes.entry("ada", category="ci") for _ in range(missing)])
        names = [name async for name in inboxes.client.scan_iter("notify:inbox:*")]
        used: list[Any] = [await inboxes.client.memory_usage(name, samples=0) for name in names]
        assert sum(used) / count <= 250
