"""`send_many`: any length, in batches; each item's fate, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notify_client import Invalid, Outcome, TooLarge, Unauthorized, Unavailable
from notify_client.batches import MAX_BYTES, MAX_ITEMS, MAX_TARGETS, Item, Unsendable, split
from notify_client.message import Message
from tests.python_client.conftest import Connect
from tests.python_client.server import Answer, Reset, problem, serving
from tests.support.cluster import Cluster


async def test_a_long_list_is_sent_in_batches_and_every_item_has_its_fate(
    connected: Connect, cluster: Cluster, unique: str
):
    def message(number: int) -> dict[str, Any]:
        return {"to": {"user": f"{unique}-{number % 50}"}, "title": str(number), "ttl": 60}

    messages = [message(number) for number in range(2300)]
    messages[3] = {"to": {"user": ""}}
    messages[1500] = {"to": {"user": unique}, "data": {"set": {1}}}
    messages[2250] = {"to": {"user": unique}, "event": "connect"}
    async with connected(cluster.nodes[0].internal_url) as notify:
        outcomes = await notify.send_many(iter(messages), idempotency_key=unique)
        again = await notify.send_many(messages, idempotency_key=unique)
    assert [outcome.index for outcome in outcomes] == list(range(2300))
    refused = {outcome.index: outcome.error for outcome in outcomes if not outcome.accepted}
    assert set(refused) == {3, 1500, 2250}
    assert all(isinstance(error, Invalid) and not error.retryable for error in refused.values())
    assert [error.errors[0].pointer for error in refused.values()] == [
        "/notifications/3/to/user", "/notifications/1500", "/notifications/2250/event",
    ]  # fmt: skip
    assert refused[2250].detail.startswith("/notifications/2250/event ")
    ids = [outcome.id for outcome in outcomes if outcome.accepted]
    assert len(set(ids)) == 2297
    assert [outcome.id for outcome in again] == [outcome.id for outcome in outcomes]


async def test_nothing_to_send_asks_nobody(connected: Connect):
    with serving() as server:
        async with connected(server.url) as notify:
            assert await notify.send_many([]) == []
    assert server.came == []


async def test_when_none_was_good_that_is_an_answer_too(connected: Connect, cluster: Cluster):
    async with connected(cluster.nodes[0].internal_url) as notify:
        outcomes = await notify.send_many([{"to": {}}, {"to": {"user": ""}}])
    assert [outcome.error.code for outcome in outcomes] == ["invalid", "invalid"]


async def test_a_lost_answer_posts_no_item_twice(connected: Connect, cluster: Cluster, unique: str):
    async def published() -> float:
        return sum([await node.metric("notify_published_total") for node in cluster.nodes])

    before = await published()
    with serving(Reset(after=True), node=cluster.nodes[0].internal_url) as server:
        async with connected(server.url) as notify:
            outcomes = await notify.send_many([{"to": {"user": unique}}] * 7)
    assert all(outcome.accepted for outcome in outcomes)
    assert len(server.came) == 2
    assert len({each.key for each in server.came}) == 1
    assert await published() - before == 7


def accepted(index: int) -> dict[str, Any]:
    return {"index": index, "status": "accepted", "id": f"ntf_{index}"}


def rejected(index: int, status: int, code: str) -> dict[str, Any]:
    return {"index": index, "status": "rejected", "error": problem(status, code)}


def results(*found: dict[str, Any]) -> dict[str, Any]:
    return {"accepted": 0, "rejected": 0, "results": list(found)}


async def test_items_that_redis_did_not_take_are_sent_again_with_the_key_of_their_batch(connected: Connect):
    half = Answer(207, results(accepted(0), rejected(1, 503, "unavailable")))
    busy = Answer(409, problem(409, "in_flight"))
    with serving(half, busy, Answer(202, results(accepted(0), accepted(1)))) as server:
        async with connected(server.url) as notify:
            outcomes = await notify.send_many([{"to": {"user": "1"}}, {"to": {"user": "2"}}])
    assert [outcome.id for outcome in outcomes] == ["ntf_0", "ntf_1"]
    assert len({(each.key, each.body) for each in server.came}) == 1


async def test_when_time_is_up_what_was_accepted_is_not_forgotten(connected: Connect):
    half = Answer(207, results(accepted(0), rejected(1, 503, "unavailable")))
    with serving(half, then=Answer(409, problem(409, "in_flight"))) as server:
        async with connected(server.url, deadline_s=0.5) as notify:
            first, second = await notify.send_many([{"to": {"user": "1"}}, {"to": {"user": "2"}}])
    assert first == Outcome(index=0, id="ntf_0", error=None)
    assert isinstance(second.error, Unavailable)
    assert second.error.retryable


async def test_the_first_batch_refused_as_a_whole_is_raised(connected: Connect, cluster: Cluster):
    async with connected(cluster.nodes[0].internal_url, api_key="a-wrong-key-of-the-tests") as notify:
        with pytest.raises(Unauthorized):
            await notify.send_many([{"to": {"user": "1"}}])


async def test_a_later_batch_refused_is_the_fate_of_its_items_and_of_those_behind_it(connected: Connect):
    good = Answer(202, results(*map(accepted, range(MAX_ITEMS))))
    with serving(good, Answer(401, problem(401, "unauthorized"))) as server:
        async with connected(server.url) as notify:
            outcomes = await notify.send_many({"to": {"user": "1"}} for _ in range(3 * MAX_ITEMS))
    assert len(server.came) == 2, "with a key that is refused the third is not tried"
    assert [outcome.accepted for outcome in outcomes] == [True] * MAX_ITEMS + [False] * 2 * MAX_ITEMS
    assert {type(outcome.error) for outcome in outcomes[MAX_ITEMS:]} == {Unauthorized}


async def test_a_batch_that_is_too_large_for_a_proxy_is_halved(
    connected: Connect, cluster: Cluster, unique: str
):
    too_large = Answer(413, b"<html>413</html>", {"Content-Type": "text/html"})
    with serving(too_large, too_large, node=cluster.nodes[0].internal_url) as server:
        async with connected(server.url) as notify:
            outcomes = await notify.send_many([{"to": {"user": unique}, "title": str(n)} for n in range(8)])
    assert [len(json.loads(each.body)["notifications"]) for each in server.came] == [8, 4, 2, 2, 4]
    assert len({each.key for each in server.came}) == 5
    assert len({outcome.id for outcome in outcomes if outcome.accepted}) == 8


async def test_of_a_halved_batch_each_half_has_its_own_fate(connected: Connect):
    too_large, good = Answer(413), Answer(202, results(accepted(0), accepted(1)))
    with serving(too_large, good, Answer(401, problem(401, "unauthorized"))) as server:
        async with connected(server.url) as notify:
            outcomes = await notify.send_many([{"to": {"user": "1"}}] * 4)
    assert [outcome.accepted for outcome in outcomes] == [True, True, False, False]
    assert isinstance(outcomes[3].error, Unauthorized)


async def test_one_that_is_too_large_by_itself_does_not_keep_back_the_others(
    connected: Connect, cluster: Cluster, unique: str
):
    messages = [
        {"to": {"user": unique}},
        {"to": {"user": unique}, "body": "x" * 70_000},
        {"to": {"user": unique}},
    ]
    async with connected(cluster.nodes[0].internal_url) as notify:
        outcomes = await notify.send_many(messages)
    assert [outcome.accepted for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, TooLarge)


def whole(batch: list[Item | Unsendable]) -> list[Item]:
    """The items of a batch, all of which can be sent."""
    items = [item for item in batch if isinstance(item, Item)]
    assert len(items) == len(batch)
    return items


def test_batches_keep_within_what_a_server_takes():
    few: list[Message] = [{"to": {"users": [str(user) for user in range(900)]}}] * 25
    assert [sum(item.targets for item in whole(batch)) for batch in split(few)] == [9900, 9900, 2700]
    large: list[Message] = [{"to": {"user": "1"}, "body": "x" * 60_000}] * 20
    sizes = [sum(len(item.body) for item in whole(batch)) for batch in split(large)]
    assert max(sizes) <= MAX_BYTES
    assert len(sizes) == 3
    assert [len(batch) for batch in split([{"to": {"all": True}}] * 2001)] == [1000, 1000, 1]
    assert MAX_TARGETS == 10_000


async def test_the_bounds_are_those_of_the_node(connected: Connect, cluster: Cluster, unique: str):
    """Exactly full batches: an item, a target or a name more, and the node would refuse all of it."""
    names = [f"{unique}-{number}" for number in range(1000)]
    async with connected(cluster.nodes[0].internal_url) as notify:
        full = await notify.send_many([{"to": {"users": names}, "ttl": 0}] * 11)
        many = await notify.send_many([{"to": {"room": unique}, "ttl": 0}] * MAX_ITEMS)
    assert all(outcome.accepted for outcome in full + many)


@pytest.mark.timeout(120)
async def test_a_redis_that_goes_away_in_between_costs_no_item_and_doubles_none(
    connected: Connect, tmp_path: Path, unique: str
):
    async with (
        Cluster(1, directory=tmp_path) as own,
        connected(own.nodes[0].internal_url, deadline_s=60) as notify,
    ):
        node = own.nodes[0]

        def messages() -> Iterator[dict[str, Any]]:
            for number in range(900):
                if number == 450:  # asked for when four batches are sent
                    own.valkey.kill()
                yield {"to": {"user": unique}, "title": str(number), "body": "x" * 5000}

        sending = asyncio.create_task(notify.send_many(messages()))
        while own.valkey.running:  # a node that is busy says 503, too
            await asyncio.sleep(0.01)
        while (await node.request("GET", f"/v1/users/{unique}/inbox?limit=0"))[0] != 503:
            pass
        await own.valkey.astart()
        outcomes = await sending
        assert [outcome.error for outcome in outcomes if not outcome.accepted] == []
        _, page = await node.request("GET", f"/v1/users/{unique}/inbox?limit=0")
    assert len({outcome.id for outcome in outcomes}) == page["counts"]["total"] == 900
