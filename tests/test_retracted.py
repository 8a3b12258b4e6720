"""What is taken back, with real nodes that die at it: one outcome, told to everybody once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notify.domain.moments import timestamp
from notify.store.keys import Keys
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(180)

KEYS = Keys()


async def let_in(node: Node, user: str, **claims: Any) -> RawClient:
    client = await RawClient.connect(node.url, {"token": mint(user, **claims)})
    assert not (await client.answer())["refused"]
    return client


async def send(node: Node, to: dict[str, Any], **fields: Any) -> str:
    status, answer = await node.post({"to": to, "title": "Hello", **fields})
    assert status == 202, answer
    return str(answer["id"])


async def retract(node: Node, id_: str) -> int:
    status, _ = await node.request("DELETE", f"/v1/notifications/{id_}")
    return status


async def standing(node: Node, id_: str, query: str = "") -> Any:
    status, answer = await node.request("GET", f"/v1/notifications/{id_}{query}")
    assert status == 200, answer
    return answer


def removed(client: RawClient, id_: str) -> list[Any]:
    """What the client was told of the end of a notification."""
    return [
        event[1] for event in client.events if event[0] == "notification:removed" and id_ in event[1]["ids"]
    ]


def has(client: RawClient, id_: str) -> bool:
    return any(event[0] == "notification" and event[1]["id"] == id_ for event in client.events)


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def waiting(cluster: Cluster) -> int:
    with cluster.valkey.client() as client:
        return int(client.zcard(KEYS.due))


async def test_it_leaves_inboxes_and_screens_on_all_nodes(cluster: Cluster, unique: str) -> None:
    a, b, c = cluster.nodes
    clients = [await let_in(b, unique, join=[f"{unique}-room"]), await let_in(c, unique)]
    guest = await let_in(c, f"{unique}-guest", join=[f"{unique}-room"])
    id_ = await send(a, {"user": unique, "room": f"{unique}-room"})
    everyone = [*clients, guest]
    for client in everyone:
        await client.until(lambda client=client: has(client, id_))
    assert await retract(b, id_) == 204
    for client in everyone:
        await client.until(lambda client=client: removed(client, id_))
    assert await retract(c, id_) == 204
    end = await send(a, {"user": unique, "room": f"{unique}-room"})
    for client in everyone:
        await client.until(lambda client=client: has(client, end))
        (told,) = removed(client, id_)
        assert told["reason"] == "retracted"
        assert ("rev" in told) == (client is not guest)
    now = await standing(a, id_)
    assert (now["status"], now["recipients"], now["delivered"]) == ("retracted", 1, 0)
    assert "title" not in now
    _, page = await a.request("GET", f"/v1/users/{unique}/inbox")
    assert [entry["id"] for entry in page["data"]] == [end]
    for client in everyone:
        await client.close()


async def test_a_recovery_does_not_bring_it_back(cluster: Cluster, unique: str) -> None:
    a, b, c = cluster.nodes
    token = mint(unique, join=[f"{unique}-room"])
    client = await RawClient.connect(b.url, {"token": token})
    first = await client.answer()
    await send(a, {"user": unique})
    await client.until(lambda: client.notifications)
    await client.lose()
    to_user = await send(a, {"user": unique})
    to_room = await send(a, {"room": f"{unique}-room"})
    unlisted = await send(a, {"user": unique}, inbox=False)
    for id_ in (to_user, to_room, unlisted):
        assert await retract(a, id_) == 204
    kept = await send(a, {"room": f"{unique}-room"}, title="kept")
    again = await RawClient.connect(c.url, {"token": token, "pid": first["pid"], "offset": client.offset})
    assert (await again.answer())["sid"] == first["sid"]
    assert again.notifications == ["kept"]
    assert has(again, kept)
    await again.close()


async def test_a_scheduled_one_is_cancelled(cluster: Cluster, unique: str) -> None:
    a, b, _ = cluster.nodes
    client = await let_in(b, unique)
    at = timestamp(int((time.time() + 1.5) * 1000))
    id_ = await send(a, {"user": unique}, deliver_at=at)
    now = await standing(b, id_)
    assert (now["status"], now["deliver_at"], now["recipients"]) == ("scheduled", at, 1)
    assert await retract(b, id_) == 204
    assert (await standing(a, id_))["status"] == "retracted"
    later = await send(
        a, {"user": unique}, title="later", deliver_at=timestamp(int((time.time() + 2) * 1000))
    )
    await client.until(lambda: has(client, later))
    assert client.notifications == ["later"]
    assert removed(client, id_) == []
    assert (await standing(a, later))["status"] == "accepted"
    assert await retract(b, id_) == 204
    await client.close()


async def test_against_its_delivery_there_is_one_outcome(cluster: Cluster, unique: str) -> None:
    a, b, c = cluster.nodes
    users = [f"{unique}-{number}" for number in range(8)]
    clients = [await let_in(b, user) for user in users]
    at_s = time.time() + 1.5
    ids = [await send(a, {"users": users}, deliver_at=timestamp(int(at_s * 1000))) for _ in range(24)]

    async def race(number: int, id_: str) -> int:
        await asyncio.sleep(max(0.0, at_s - time.time() + (number - 8) / 400))
        return await retract((a, c)[number % 2], id_)

    assert await asyncio.gather(*(race(number, id_) for number, id_ in enumerate(ids))) == [204] * len(ids)
    end = await send(a, {"users": users}, title="end", deliver_at=timestamp(int((time.time() + 1) * 1000)))
    for client in clients:
        await client.until(lambda client=client: has(client, end))
    for id_ in ids:
        assert (await standing(a, id_))["status"] == "retracted"
        shown = {has(client, id_) for client in clients}
        assert len(shown) == 1, "all of them or nobody"
        for client in clients:
            assert len(removed(client, id_)) == (1 if shown == {True} else 0)
    _, page = await a.request("GET", f"/v1/users/{users[0]}/inbox")
    assert [entry["title"] for entry in page["data"]] == ["end"]
    for client in clients:
        await client.close()


@pytest.mark.parametrize("count", [1, 33, 1000])
async def test_what_a_killed_node_left_half_done_another_finishes(tmp_path: Path, count: int) -> None:
    users = [f"user-{number:04}" for number in range(count)]
    watched = sorted({users[0], users[count // 2], users[-1]})
    async with Cluster(3, directory=tmp_path) as cluster:
        a, b, c = cluster.nodes
        clients = {user: [await let_in(node, user, join=["lobby"]) for node in (b, c)] for user in watched}
        for _ in range(20):
            id_ = await send(a, {"users": users, "room": "lobby"})
            if await killed_half_way(cluster, a, id_):
                break
        else:
            pytest.fail("the node was never caught at it")
        await until(lambda: waiting(cluster) == 0)
        assert (await standing(b, id_))["status"] == "retracted"
        end = await send(b, {"users": users, "room": "lobby"})
        for its in clients.values():
            for client in its:
                await client.until(lambda client=client: has(client, end))
                (told,) = removed(client, id_)
                assert (told["reason"], "rev" in told) == ("retracted", True)
        _, page = await b.request("GET", f"/v1/users/{users[-1]}/inbox")
        assert page["data"][0]["id"] == end
        assert id_ not in [entry["id"] for entry in page["data"]]
        assert await retract(c, id_) == 204
        for its in clients.values():
            for client in its:
                await client.close()


async def killed_half_way(cluster: Cluster, node: Node, id_: str) -> bool:
    """Have a node retract it, and kill it as soon as that has begun. False when it was faster."""
    mark = KEYS.retracted(id_)
    with cluster.valkey.client() as client:
        asked = asyncio.create_task(retract(node, id_))
        async with asyncio.timeout(30):
            while not client.exists(mark):
                await asyncio.sleep(0)
        node.signal(signal.SIGSTOP)
        left = client.zcard(KEYS.due)
        if not left:
            node.signal(signal.SIGCONT)
            assert await asked == 204
            return False
        node.kill()
        await asyncio.gather(asked, return_exceptions=True)
        return True


async def test_at_maxmemory_what_is_there_can_be_used_and_taken_back(tmp_path: Path) -> None:
    async with Cluster(2, directory=tmp_path) as cluster:
        a, b = cluster.nodes
        client = await let_in(b, "ada")
        id_, other = await send(a, {"user": "ada"}), await send(a, {"users": ["ada", "bob"]})
        await client.until(lambda: has(client, other))
        with cluster.valkey.client() as redis:
            redis.config_set("maxmemory", "1")
            try:
                status, problem = await a.post({"to": {"user": "ada"}, "title": "no room"})
                assert (status, problem["code"]) == (503, "unavailable")
                status, marked = await a.request(
                    "POST", "/v1/users/ada/inbox/mark", json={"as": "read", "ids": [id_]}
                )
                assert (status, marked["changed"]) == (200, 1)
                status, page = await b.request("GET", "/v1/users/ada/inbox")
                assert (status, len(page["data"])) == (200, 2)
                assert (await standing(b, other, "?recipients=true"))["recipients"] == 2
                assert await retract(a, other) == 204
                await client.until(lambda: removed(client, other))
                assert (await standing(b, other))["status"] == "retracted"
                _, page = await b.request("GET", "/v1/users/bob/inbox")
                assert page["counts"]["total"] == 0
                status, _ = await a.request("POST", "/v1/users/ada/disconnect", json={"revoke": True})
                assert status == 200
                await client.until(lambda: client.packets[-1] == "1")
                assert (await a.request("DELETE", "/v1/users/ada"))[0] == 204
                assert redis.keys("notify:inbox:{ada}*") == []
            finally:
                redis.config_set("maxmemory", "0")
        await client.close()


async def test_unknown_ones_are_404_and_ephemeral_ones_too(cluster: Cluster, unique: str) -> None:
    node = cluster.nodes[0]
    assert await retract(node, "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E") == 404
    assert await retract(node, await send(node, {"user": unique}, ttl=0)) == 404
