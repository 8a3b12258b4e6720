"""`deliver_at` with real nodes: in time and once, whoever dies before, meanwhile or long since."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from notify.domain.message import Message
from notify.domain.moments import timestamp
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.scheduler import BATCH, LEASE_MS
from notify.store.keys import Keys
from notify.store.notifications.due import Due
from tests.support.clients.javascript import JavaScript, JsClient
from tests.support.cluster import Cluster
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(180)

KEYS = Keys()
MUCH_TOO_LATE_S = 20.0
"""Beyond any delay of a busy machine: what takes as long was forgotten."""


@pytest.fixture
async def own_cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(3, directory=tmp_path) as found:
        yield found


@pytest.fixture
async def javascript() -> AsyncIterator[JavaScript]:
    async with JavaScript() as process:
        yield process


def in_s(seconds: float) -> str:
    return timestamp(int((time.time() + seconds) * 1000))


async def until(condition: Callable[[], bool], within_s: float = MUCH_TOO_LATE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def delivered(cluster: Cluster) -> Counter[str]:
    """How often each notification is in the logs of Redis."""
    found: Counter[str] = Counter()
    with cluster.valkey.client() as client:
        names = list(client.scan_iter(f"{KEYS.log_prefix}*", count=10_000))
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.xrange(name)
        for entries in pipeline.execute():
            found.update(Message(entry[b"m"]).notification_id or "" for _, entry in entries)
    return found


def waiting(cluster: Cluster) -> int:
    with cluster.valkey.client() as client:
        return int(client.zcard(KEYS.due))


def goes_on(cluster: Cluster, left: int) -> bool:
    """Fewer are waiting than were, or none."""
    return waiting(cluster) < max(left, 1)


def late_ms(cluster: Cluster) -> list[int]:
    """How late each was, as the nodes say."""
    lines = [event for node in cluster.nodes for event in node.events if event["event"] == "delivered"]
    return sorted(line["late_ms"] for line in lines)


def named(client: JsClient) -> list[Any]:
    return [args[0] for event, args in client.events if event == "notification"]


async def schedule(cluster: Cluster, count: int, at: str, **fields: Any) -> set[str]:
    """Schedule so many, for people of their own each; their ids."""
    ids: set[str] = set()
    for begin in range(0, count, 1000):
        status, answer = await cluster.post(
            [
                {"to": {"user": f"user-{number}"}, "title": "Later", "deliver_at": at, **fields}
                for number in range(begin, min(begin + 1000, count))
            ],
            batch=True,
        )
        assert status == 202, answer
        assert {result["status"] for result in answer["results"]} == {"scheduled"}
        ids |= {result["id"] for result in answer["results"]}
    return ids


async def test_it_comes_when_it_is_time_and_all_say_the_same(
    cluster: Cluster, javascript: JavaScript, unique: str
):
    node, elsewhere = cluster.nodes[0], cluster.nodes[1]
    client = await javascript.connect(elsewhere.url, auth={"token": mint(unique)})
    await client.wait_event("session:ready")
    at_s = time.time() + 1.0
    posted = {"to": {"user": unique}, "title": "Later", "ttl": 60, "deliver_at": timestamp(int(at_s * 1000))}
    status, answer = await node.post(posted, idempotency_key=unique)
    assert (status, answer["status"], answer["deliver_at"]) == (202, "scheduled", posted["deliver_at"])
    assert answer["expires_at"] == timestamp(int(at_s * 1000) + 60_000)
    assert named(client) == []
    arrived, _ = await client.wait_event("notification")
    assert time.time() >= at_s - 0.1, "not before its time"
    assert {key: arrived[key] for key in ("id", "created_at", "deliver_at", "expires_at")} == {
        key: answer[key] for key in ("id", "created_at", "deliver_at", "expires_at")
    }
    assert await node.post(posted, idempotency_key=unique) == (202, answer)
    _, page = await node.request("GET", f"/v1/users/{unique}/inbox")
    assert [(entry["id"], entry["expires_at"]) for entry in page["data"]] == [
        (answer["id"], answer["expires_at"])
    ]
    assert page["data"][0]["place"] >= int(at_s * 1000)


async def test_what_is_too_far_ahead_is_refused_where_it_stands(cluster: Cluster, unique: str):
    good, bad = in_s(30 * 24 * 3600 - 60), in_s(30 * 24 * 3600 + 60)
    one = {"to": {"user": unique}, "title": "Later"}
    status, answer = await cluster.post({**one, "deliver_at": bad})
    fault = {"pointer": "/deliver_at", "detail": "must be at most 30 days ahead"}
    assert (status, answer["errors"]) == (422, [fault])
    status, answer = await cluster.post([{**one, "deliver_at": good}, {**one, "deliver_at": bad}], batch=True)
    assert (status, [result["status"] for result in answer["results"]]) == (207, ["scheduled", "rejected"])
    kept, refused = answer["results"]
    assert refused["error"]["errors"] == [
        {**fault, "pointer": "/notifications/1/deliver_at"},
    ]
    _, found = await cluster.nodes[0].request("GET", f"/v1/notifications/{kept['id']}")
    said = {name: found[name] for name in ("id", "status", "created_at", "deliver_at", "expires_at")}
    assert kept == {"index": 0, **said}
    assert kept["deliver_at"] == good
    with cluster.valkey.client() as client:
        client.zrem(KEYS.due, f"deliver:{kept['id'].removeprefix('ntf_')}")


async def test_the_node_that_would_deliver_is_killed_at_it(own_cluster: Cluster):
    """The others stand still, so that one node is at all of it, and it dies among the first."""
    dies, *others = own_cluster.nodes
    ids = await schedule(own_cluster, 3000, in_s(5.0))
    for node in others:
        node.signal(signal.SIGSTOP)
    await until(lambda: waiting(own_cluster) < len(ids) - 100)
    dies.kill()
    killed_at = time.monotonic()
    for node in others:
        node.signal(signal.SIGCONT)
    left = waiting(own_cluster)
    assert left > 0, "it was done before it was killed"
    await until(lambda: waiting(own_cluster) == 0)
    took_s = time.monotonic() - killed_at
    assert delivered(own_cluster) == dict.fromkeys(ids, 1)
    print(f"{left} were left when it was killed; the last was delivered {took_s:.2f} s later")


async def test_what_a_node_takes_to_its_grave_is_taken_over(own_cluster: Cluster):
    """The dead node is played by us, who claim it before the nodes can, and never say a word again."""
    at_s = time.time() + 2.0
    (id_,) = await schedule(own_cluster, 1, timestamp(int(at_s * 1000)))
    redis = Redis(Connector(own_cluster.valkey.url), stats=RedisStats())
    await redis.start()
    for node in own_cluster.nodes:
        node.signal(signal.SIGSTOP)
    async with asyncio.timeout(MUCH_TOO_LATE_S):
        while [item.id for item in (await Due(redis, KEYS).claim(1, LEASE_MS)).items] != [id_]:
            await asyncio.sleep(0.001)
    for node in own_cluster.nodes:
        node.signal(signal.SIGCONT)
    await redis.stop()
    await until(lambda: waiting(own_cluster) == 0)
    assert delivered(own_cluster) == {id_: 1}
    await until(lambda: len(late_ms(own_cluster)) == 1)
    print(f"claimed by a node that died, and delivered {late_ms(own_cluster)} ms after its time")


async def test_nodes_stand_still_and_lose_redis_while_they_deliver(own_cluster: Cluster):
    """Longer than their leases, with claims and deliveries under way, whose replies are lost."""
    ids = await schedule(own_cluster, 3000, in_s(3.0))
    await until(lambda: waiting(own_cluster) < len(ids))
    with own_cluster.valkey.client() as client:
        for _ in range(3):
            for node in own_cluster.nodes:
                node.signal(signal.SIGSTOP)
            client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(LEASE_MS / 1000 + 0.1)
            client.client_pause(300, all=True)
            for node in own_cluster.nodes:
                node.signal(signal.SIGCONT)
            left = client.zcard(KEYS.due)  # answered when the pause is over
            await until(partial(goes_on, own_cluster, left))
    calm_at = time.monotonic()
    await until(lambda: waiting(own_cluster) == 0)
    assert delivered(own_cluster) == dict.fromkeys(ids, 1)
    print(f"the last was delivered {time.monotonic() - calm_at:.2f} s after the last fault")


@pytest.mark.parametrize("target", ["users", "room"])
async def test_all_nodes_are_down_when_it_is_time(own_cluster: Cluster, javascript: JavaScript, target: str):
    nodes = own_cluster.nodes
    name = "ada" if target == "users" else "lobby"
    to = {"users": ["ada", "bob"]} if target == "users" else {"room": name}
    client = await javascript.connect(
        nodes[1].url, auth={"token": mint("ada", rooms=["lobby"], join=["lobby"])}
    )
    await client.wait_event("session:ready")
    at_s = time.time() + 3.0
    status, answer = await own_cluster.post(
        {"to": to, "title": "Later", "deliver_at": timestamp(int(at_s * 1000))}
    )
    assert (status, answer["status"]) == (202, "scheduled")
    for node in nodes:
        node.kill()
    while time.time() < at_s + 1.0:
        await asyncio.sleep(0.05)
    assert delivered(own_cluster) == {}
    await own_cluster.start()
    ready_at = time.monotonic()
    await until(lambda: waiting(own_cluster) == 0)
    print(f"delivered {time.monotonic() - ready_at:.2f} s after the last node was ready")
    arrived, _ = await client.wait_event("notification", timeout_s=MUCH_TOO_LATE_S)
    assert arrived["id"] == answer["id"]
    assert set(delivered(own_cluster).values()) == {2 if target == "users" else 1}
    assert len(named(client)) == 1
    assert len(late_ms(own_cluster)) == 1


async def test_ten_thousand_are_due_in_one_second(own_cluster: Cluster):
    """Redis is asked what took it longest, and a client that pings it meanwhile how long it waited."""
    ids: set[str] = set()
    begin_s = time.time() + 12.0
    for tenth in range(10):
        ids |= await schedule(own_cluster, 1000, timestamp(int((begin_s + tenth / 10) * 1000)))
    assert time.time() < begin_s, "scheduling took longer than the test allows for"
    with own_cluster.valkey.client() as client:
        client.config_set("slowlog-max-len", 1000)
        client.config_set("slowlog-log-slower-than", 500)
        client.slowlog_reset()
        client.config_resetstat()
        pauses: list[float] = []
        while client.zcard(KEYS.due) > 0:
            assert time.time() < begin_s + MUCH_TOO_LATE_S
            began = time.perf_counter()
            client.ping()
            pauses.append(time.perf_counter() - began)
            await asyncio.sleep(0.001)
        slow = sorted((one["duration"] for one in client.slowlog_get(1000)), reverse=True)
        scripts = client.info("commandstats")["cmdstat_evalsha"]
    assert delivered(own_cluster) == dict.fromkeys(ids, 1)
    late = late_ms(own_cluster)
    assert len(late) == len(ids)
    assert scripts["calls"] >= len(ids) * (1 + 1 / BATCH), "no call does much of it at once"
    pauses.sort()
    ping_ms = [pause * 1000 for pause in pauses]
    print(
        f"late: median {late[len(late) // 2]} ms, p99 {late[len(late) * 99 // 100]} ms, most {late[-1]} ms; "
        f"Redis' slowest calls (above 0.5 ms): {slow[:5]} us; scripts {scripts['usec_per_call']} us; "
        f"a PING waited {ping_ms[-1]:.1f} ms at most, {ping_ms[len(ping_ms) * 99 // 100]:.1f} ms in p99"
    )


async def test_at_maxmemory_nothing_is_scheduled_and_what_is_waits(own_cluster: Cluster):
    node = own_cluster.nodes[0]
    (id_,) = await schedule(own_cluster, 1, in_s(0.7))
    with own_cluster.valkey.client() as client:
        client.config_set("maxmemory", 1)
        status, answer = await own_cluster.post(
            {"to": {"user": "ada"}, "title": "Later", "deliver_at": in_s(60)}
        )
        assert (status, answer["code"]) == (503, "unavailable")
        async with asyncio.timeout(MUCH_TOO_LATE_S):
            while not sum([await each.metric("notify_due_failures_total") for each in own_cluster.nodes]):
                await asyncio.sleep(0.05)
        assert delivered(own_cluster) == {}
        client.config_set("maxmemory", 0)
    await until(lambda: waiting(own_cluster) == 0)
    assert delivered(own_cluster) == {id_: 1}
    assert await node.metric("notify_due") <= 1


async def test_a_redis_that_restarts_forgets_nothing(own_cluster: Cluster):
    ids = await schedule(own_cluster, 50, in_s(2.0))
    valkey = own_cluster.valkey
    valkey.kill()
    await asyncio.sleep(0)
    await valkey.astart()
    await until(lambda: waiting(own_cluster) == 0)
    assert delivered(own_cluster) == dict.fromkeys(ids, 1)
