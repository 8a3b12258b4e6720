"""After every await: is this still the one? Connections race for one session; members leave meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.chaos.proxy import Proxy
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def slow(tmp_path):
    """A node whose Redis can be made to answer late: `proxy.mode("stall")`, then `"pass"`."""
    async with Cluster(0, directory=tmp_path, environ={"NOTIFY_REDIS_TIMEOUT": "5"}) as cluster:
        await cluster.start()
        proxy = Proxy(cluster.valkey.port)
        await proxy.start()
        try:
            node = cluster.add(NOTIFY_REDIS_URL=f"redis://127.0.0.1:{proxy.port}")
            await node.start()
            yield node, proxy
        finally:
            await proxy.stop()


async def until_it_has_left(node: Node) -> None:
    """Wait until nobody is in any channel of the node: it can tell without Redis."""
    async with asyncio.timeout(30):
        while await node.metric("notify_topics"):
            await asyncio.sleep(0.02)


async def until_it_is_handled(node: Node) -> None:
    """Wait until the node works on an event: it waits for Redis then."""
    async with asyncio.timeout(30):
        while not await node.metric("notify_messages_received_total"):
            await asyncio.sleep(0.02)


async def test_the_loser_of_a_race_takes_nothing_from_the_winner(slow):
    """Both have read the session before one of them claims it; the other cannot have it at all."""
    node, proxy = slow
    token = mint("ada", rooms=["*"])
    client = await RawClient.connect(node.url, {"token": token})
    pid = (await client.answer())["pid"]
    await node.post({"to": {"user": "ada"}, "title": "seen"})
    await client.until(lambda: client.notifications)
    offset = client.offset
    await client.lose()
    await until_it_has_left(node)
    asked = await node.metric("notify_redis_commands_total")
    proxy.mode("stall")
    winner = await RawClient.connect(node.url, {"token": token, "pid": pid, "offset": offset})
    async with asyncio.timeout(30):
        while (first := await node.metric("notify_redis_commands_total")) == asked:
            await asyncio.sleep(0.02)
    assert offset is not None
    never = f"{offset.partition('-')[0]}-{10**13}-0"
    loser = await RawClient.connect(node.url, {"token": token, "pid": pid, "offset": never})
    async with asyncio.timeout(30):
        while await node.metric("notify_redis_commands_total") == first:
            await asyncio.sleep(0.02)
    proxy.mode("pass")
    assert (await winner.answer())["pid"] == pid
    assert (await loser.answer())["pid"] != pid
    assert (await winner.call("room:join", {"room": "lobby"}))["ok"] is True
    assert (await loser.call("room:join", {"room": "lobby"}))["ok"] is True
    _, presence = await node.request("GET", "/v1/users/ada/presence")
    assert len(presence["connections"]) == 2
    await winner.close()
    await loser.close()


@pytest.mark.parametrize("nodes", [(0, 0), (0, 1)])
@pytest.mark.parametrize("round_number", range(5))
async def test_of_two_connects_with_one_pid_the_winner_stays_whole(cluster, unique, nodes, round_number):
    first_node = cluster.nodes[2]
    token = mint(unique, rooms=["*"])
    client = await RawClient.connect(first_node.url, {"token": token})
    pid = (await client.answer())["pid"]
    await client.lose()
    auth = {"token": token, "pid": pid}
    pair = await asyncio.gather(*(RawClient.connect(cluster.nodes[n].url, auth) for n in nodes))

    async def answered(one: RawClient) -> dict[str, Any] | None:
        waiting = {asyncio.create_task(one.answer()), asyncio.create_task(one.closed.wait())}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return await one.answer() if any(p.startswith("0") for p in one.packets) else None

    answers = await asyncio.gather(*(answered(one) for one in pair))
    winners = [one for one, answer in zip(pair, answers, strict=True) if answer and answer["pid"] == pid]
    assert winners
    for loser in set(pair) - set(winners):
        await loser.lose()
    async with asyncio.timeout(30):  # where both were let in, the earlier one was taken over by the later
        while len([one for one in winners if not one.closed.is_set()]) > 1:
            await asyncio.sleep(0.01)
    (winner,) = [one for one in winners if not one.closed.is_set()]
    assert (await winner.call("room:join", {"room": f"room-{unique}"}))["ok"] is True
    await first_node.post({"to": {"room": f"room-{unique}"}, "title": "heard"})
    await winner.until(lambda: winner.notifications == ["heard"])
    _, presence = await first_node.request("GET", f"/v1/users/{unique}/presence")
    assert len(presence["connections"]) == 1
    await winner.close()


async def test_a_refresh_under_way_does_not_end_the_next_connection(slow):
    node, proxy = slow
    client = await RawClient.connect(node.url, {"token": mint("ada")})
    await client.answer()
    proxy.mode("stall")
    await client.send(f'427["session:refresh",{{"token":"{mint("ada", expires_in_s=3)}"}}]')
    await until_it_is_handled(node)
    await client.send("41")
    await until_it_has_left(node)
    await client.send("40" + f'{{"token":"{mint("ada")}"}}')
    proxy.mode("pass")
    await client.until(lambda: sum(packet.startswith("0") for packet in client.packets) == 2)
    ack = await client.until(lambda: next((p for p in client.packets if p.startswith("37")), None))
    assert '"ok":false' in ack
    ends = time.monotonic() + 5
    while time.monotonic() < ends:  # past the end of the token that the refresh brought
        assert not client.closed.is_set()
        assert "1" not in client.packets
        await asyncio.sleep(0.1)
    assert not any(event[0] == "session:expiring" for event in client.events)
    await client.close()


async def test_a_join_under_way_of_one_who_leaves_is_not_a_join(slow):
    node, proxy = slow
    client = await RawClient.connect(node.url, {"token": mint("ada", rooms=["*"])})
    await client.answer()
    proxy.mode("stall")
    number = 7
    await client.send(f'42{number}["room:join",{{"room":"lobby"}}]')
    await until_it_is_handled(node)
    await client.send("41")
    await until_it_has_left(node)
    await client.send("40" + f'{{"token":"{mint("ada")}"}}')
    proxy.mode("pass")
    await client.until(lambda: sum(packet.startswith("0") for packet in client.packets) == 2)
    ack = await client.until(lambda: next((p for p in client.packets if p.startswith(f"3{number}")), None))
    assert '"ok":false' in ack
    _, room = await node.request("GET", "/v1/rooms/lobby")
    assert room["connections"] == 0
    await client.close()


async def test_the_bound_on_rooms_holds_for_joins_at_once(tmp_path):
    settings = {"NOTIFY_MAX_ROOMS_PER_SOCKET": "3"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada", rooms=["*"])})
        await client.answer()
        for number in range(10):
            await client.send(f'42{number}["room:join",{{"room":"room-{number}"}}]')
        await client.until(lambda: sum(packet.startswith("3") for packet in client.packets) == 10)
        assert sum('"ok":true' in packet for packet in client.packets) == 3
        await client.close()


async def test_two_joins_of_one_room_at_once_are_one(cluster, unique):
    node = cluster.nodes[0]
    client = await RawClient.connect(node.url, {"token": mint(unique, rooms=["*"])})
    first = await client.answer()
    room = f"room-{unique}"
    for number in range(3):
        await client.send(f'42{number}["room:join",{{"room":"{room}"}}]')
    await client.until(lambda: sum(packet.startswith("3") for packet in client.packets) == 3)
    assert sum('"ok":true' in packet for packet in client.packets) == 3
    await client.lose()
    await node.post({"to": {"room": room}, "title": "missed"})
    again = await RawClient.connect(node.url, {"token": mint(unique, rooms=["*"]), "pid": first["pid"]})
    await again.answer()
    assert again.notifications == ["missed"]
    await again.close()
