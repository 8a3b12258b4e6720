"""Two who do something to one inbox at once: whoever comes first, it ends well, and both ends are seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from notify.domain.inbox import Counts, Mark
from tests.store.inboxes import HOUR_MS, Inboxes

ROUNDS = 400

first_and_second = pytest.mark.parametrize("first", ["one", "other"])


async def in_order(first: str, one: Awaitable[Any], other: Awaitable[Any]) -> tuple[Any, Any]:
    """What each of the two answered; `first` says which one Redis is asked first."""
    if first == "one":
        return await one, await other
    answer = await other
    return await one, answer


async def said(inboxes: Inboxes) -> list[tuple[str, Any]]:
    """(event, what it is about) of what was told, in order; each change has the next rev."""
    told = await inboxes.told("ada")
    revs = [one.said["inbox"]["rev"] if one.event == "notification" else one.said["rev"] for one in told]
    assert revs == list(range(revs[0], revs[0] + len(revs))) if revs else True
    return [
        (one.said.get("reason") or one.said.get("as") or "came", one.said.get("ids") or one.said.get("id"))
        for one in told
    ]


@first_and_second
async def test_mark_all_against_an_arrival(inboxes: Inboxes, first: str):
    """Who marks all has seen the list; what is not in it yet stays unread, even if it comes first."""
    old = [await inboxes.post("ada") for _ in range(3)]
    page = await inboxes.ids("ada")
    await inboxes.told()
    mark = inboxes.inbox.mark("ada", Mark("read", up_to=page[0]))
    done, new = await in_order(first, mark, inboxes.post("ada"))
    assert done.changed == 3
    assert done.at.counts == (Counts(0, 0, 3) if first == "one" else Counts(1, 1, 4))
    assert await inboxes.ids("ada", "unread") == [new]
    assert await inboxes.ids("ada", "read") == old[::-1]
    assert [what for what, _ in await said(inboxes)] == (
        ["read", "came"] if first == "one" else ["came", "read"]
    )


@first_and_second
async def test_a_collapse_against_a_read(inboxes: Inboxes, first: str):
    """The newer one is unread whatever was read; a read that is late finds nothing."""
    old = await inboxes.post("ada", collapse_key="k")
    await inboxes.told()
    mark = inboxes.inbox.mark("ada", Mark("read", ids=(old,)))
    done, new = await in_order(first, mark, inboxes.post("ada", collapse_key="k"))
    assert (done.changed, done.missing) == ((1, ()) if first == "one" else (0, (old,)))
    assert (await inboxes.inbox.snapshot("ada")).counts == Counts(1, 1, 1)
    assert await inboxes.ids("ada", "unread") == [new]
    expected = [("read", [old]), ("collapsed", [old]), ("came", new)]
    assert await said(inboxes) == (expected if first == "one" else expected[1:])


@first_and_second
async def test_expiry_against_a_mark(inboxes: Inboxes, first: str):
    """What expires is told once, and a mark that is late finds nothing."""
    id_ = await inboxes.post("ada", ttl_ms=HOUR_MS)
    await inboxes.told()
    mark = inboxes.inbox.mark("ada", Mark("read", ids=(id_,)))
    done, _ = await in_order(first, mark, inboxes.pass_time("ada", HOUR_MS))
    assert (done.changed, done.missing) == ((1, ()) if first == "one" else (0, (id_,)))
    assert (await inboxes.inbox.snapshot("ada")).counts == Counts()
    expected = [("read", [id_]), ("expired", [id_])]
    assert await said(inboxes) == (expected if first == "one" else expected[1:])


@first_and_second
@pytest.mark.parametrize("what", ["seen", "read", "archived", "deleted"])
async def test_two_devices_that_mark_the_same(inboxes: Inboxes, first: str, what: Any):
    """One changes it and is told of; the other changes nothing, and both end at one rev."""
    id_ = await inboxes.post("ada")
    await inboxes.told()
    marks = [inboxes.inbox.mark("ada", Mark(what, ids=(id_,))) for _ in range(2)]
    one, other = await in_order(first, *marks)
    assert (one.changed, other.changed) == ((1, 0) if first == "one" else (0, 1))
    assert one.at == other.at
    assert await said(inboxes) == [(what, [id_])]


@first_and_second
async def test_two_devices_that_mark_it_differently(inboxes: Inboxes, first: str):
    """The later one holds."""
    id_ = await inboxes.post("ada")
    await inboxes.inbox.mark("ada", Mark("read", ids=(id_,)))
    await inboxes.told()
    unread = inboxes.inbox.mark("ada", Mark("unread", ids=(id_,)))
    read = inboxes.inbox.mark("ada", Mark("read", ids=(id_,)))
    one, other = await in_order(first, unread, read)
    assert (one.changed, other.changed) == (1, 1 if first == "one" else 0)
    assert await inboxes.ids("ada", "unread") == ([] if first == "one" else [id_])


@first_and_second
async def test_a_trim_against_a_mark(inboxes: Inboxes, first: str):
    """What is trimmed counts no more, read or not; a mark that is late finds nothing."""
    inboxes.most(2)
    oldest, newer = await inboxes.post("ada"), await inboxes.post("ada")
    await inboxes.told()
    mark = inboxes.inbox.mark("ada", Mark("read", ids=(oldest,)))
    done, new = await in_order(first, mark, inboxes.post("ada"))
    assert (done.changed, done.missing) == ((1, ()) if first == "one" else (0, (oldest,)))
    assert (await inboxes.inbox.snapshot("ada")).counts == Counts(2, 2, 2)
    assert await inboxes.ids("ada") == [new, newer]
    expected = [("read", [oldest]), ("trimmed", [oldest]), ("came", new)]
    assert await said(inboxes) == (expected if first == "one" else expected[1:])


@first_and_second
async def test_a_snooze_that_ends_against_a_mark_of_all(inboxes: Inboxes, first: str):
    """What comes back is newer than what was marked: it is not swallowed, as an arrival is not."""
    snoozed, shown = await inboxes.post("ada"), await inboxes.post("ada")
    until_ms = await inboxes.now_ms() + HOUR_MS
    await inboxes.inbox.mark("ada", Mark("snoozed", ids=(snoozed,), until_ms=until_ms))
    await inboxes.told()
    mark = inboxes.inbox.mark("ada", Mark("read", up_to=shown))
    done, _ = await in_order(first, mark, inboxes.pass_time("ada", HOUR_MS))
    assert done.changed == 1
    assert await inboxes.ids("ada", "unread") == [snoozed]
    came, read = ("came", snoozed), "read"
    assert [what if what == read else (what, about) for what, about in await said(inboxes)] == (
        [read, came] if first == "one" else [came, read]
    )


Race = Callable[[Inboxes, Inboxes, bool], Awaitable[str]]


async def at_once(turn: bool, one: Awaitable[Any], other: Awaitable[Any]) -> tuple[Any, Any]:
    """What both answered. Whoever is sent first is mostly the faster one: so they take turns at it."""
    if turn:
        first, second = await asyncio.gather(one, other)
    else:
        second, first = await asyncio.gather(other, one)
    return first, second


async def _arrival(one: Inboxes, other: Inboxes, turn: bool) -> str:
    last = await one.post("ada")
    mark = one.inbox.mark("ada", Mark("read", up_to=last))
    entry = await other.entry("ada")
    assert entry.inbox is not None
    done, _ = await at_once(turn, mark, other.append(entry))
    assert await one.ids("ada", "unread") == [entry.inbox.id]
    return "mark" if done.at.counts.unread == 0 else "arrival"


async def _collapse(one: Inboxes, other: Inboxes, turn: bool) -> str:
    old = await one.post("ada", collapse_key="k")
    mark = one.inbox.mark("ada", Mark("read", ids=(old,)))
    entry = await other.entry("ada", collapse_key="k")
    assert entry.inbox is not None
    done, _ = await at_once(turn, mark, other.append(entry))
    assert await one.ids("ada", "unread") == [entry.inbox.id]
    return "mark" if done.changed else "collapse"


async def _two_devices(one: Inboxes, other: Inboxes, turn: bool) -> str:
    id_ = await one.post("ada")
    mark = Mark("read", ids=(id_,))
    first, second = await at_once(turn, one.inbox.mark("ada", mark), other.inbox.mark("ada", mark))
    assert first.changed + second.changed == 1
    return "one" if first.changed else "other"


async def _trim(one: Inboxes, other: Inboxes, turn: bool) -> str:
    while len(ids := await one.ids("ada")) < 3:
        await one.post("ada")
    mark = one.inbox.mark("ada", Mark("seen", ids=(ids[-1],)))
    done, _ = await at_once(turn, mark, other.append(await other.entry("ada")))
    return "mark" if done.changed else "trim"


@pytest.mark.parametrize("race", [_arrival, _collapse, _two_devices, _trim])
async def test_on_two_connections_at_once_both_ends_are_seen(inboxes: Inboxes, race: Race):
    most = 3 if race is _trim else 1000
    inboxes.most(most)
    other = Inboxes(inboxes.url, most=most)
    await other.redis.start()
    try:
        seen: set[str] = set()
        for number in range(ROUNDS):
            seen.add(await race(inboxes, other, number % 2 == 0))
            assert await inboxes.inbox.check("ada") == []
            if len(seen) == 2:
                break
        assert len(seen) == 2
    finally:
        await other.redis.stop()
        await other.client.aclose()
