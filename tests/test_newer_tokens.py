"""What a newer token brings, and what the end of an old one does."""

from __future__ import annotations

import asyncio

import pytest
from socketio import AsyncRedisManager

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


def titles(client) -> list[str]:
    return [args[0]["title"] for name, args in client.events if name == "notification"]


async def test_a_refresh_joins_what_is_new_and_leaves_what_is_gone(cluster, unique):
    a, b, _ = cluster.nodes
    old, new, left = f"old-{unique}", f"new-{unique}", f"left-{unique}"
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url, auth={"token": mint(unique, join=[old, left])}, transports=["websocket"]
        )
        await client.wait("connect")
        assert (await client.call("room:leave", {"room": left}))[0]["left"] is True
        token = mint(unique, join=[new, left])
        (answer,) = await client.call("session:refresh", {"token": token})
        assert (answer["ok"], answer["joined"], answer["left"]) == (True, [new], [old])
        for room in (old, new, left):
            await b.post({"to": {"room": room}, "title": room})
        await client.wait_event("notification")
        (answer,) = await client.call("session:refresh", {"token": token})
        assert (answer["joined"], answer["left"]) == ([], [])
        assert titles(client) == [new]


async def test_a_refresh_that_would_join_too_many_rooms_changes_nothing(tmp_path):
    settings = {"NOTIFY_MAX_ROOMS_PER_SOCKET": "3"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada", join=["one"], rooms=["*"])})
        await client.answer()
        for room in ("two", "three"):
            assert (await client.call("room:join", {"room": room}))["ok"]
        refused = await client.call(
            "session:refresh", {"token": mint("ada", join=["one", "four"], rooms=["*"])}
        )
        assert refused["error"]["code"] == "too_many"
        for room in ("one", "two", "three"):
            _, size = await node.request("GET", f"/v1/rooms/{room}")
            assert size["connections"] == 1
        await client.close()


async def test_a_recovery_joins_what_is_new_and_says_so(cluster, unique):
    a, b, _ = cluster.nodes
    old, new, left = f"old-{unique}", f"new-{unique}", f"left-{unique}"
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url,
            tokens=[mint(unique, join=[old, left]), mint(unique, join=[new, left])],
            transports=["websocket"],
        )
        first = await client.wait("connect")
        assert (await client.call("room:leave", {"room": left}))[0]["left"] is True
        after = len(client.log)
        await client.cut()
        again = await client.wait("connect", after=after)
        assert (again["recovered"], again["sid"]) == (True, first["sid"])
        ready = (await client.wait("event", after=after, event="session:ready"))["args"][0]
        assert (ready["joined"], ready["left"]) == ([new], [old])
        for room in (old, left, new):
            await b.post({"to": {"room": room}, "title": room})
        await client.wait_event("notification")
        # And the next one, with the same token, finds it in the session.
        after = len(client.log)
        await client.cut()
        await client.wait("disconnect", after=after)
        for room in (old, left, new):
            await b.post({"to": {"room": room}, "title": f"{room} again"})
        assert (await client.wait("connect", after=after))["recovered"] is True
        ready = (await client.wait("event", after=after, event="session:ready"))["args"][0]
        assert "joined" not in ready
        assert titles(client) == [new, f"{new} again"]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_past_its_tokens_end_a_client_comes_back_with_a_fresh_one_and_recovers(
    cluster, unique, transport
):
    """A laptop that was asleep: nobody has answered `session:expiring`."""
    a, b, _ = cluster.nodes
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url, tokens=[mint(unique, expires_in_s=2), mint(unique)], transports=[transport]
        )
        first = await client.wait("connect")
        lost = await client.wait("disconnect", timeout_s=20)
        assert lost["active"] is True
        await b.post({"to": {"user": unique}, "title": "missed"})
        again = await client.wait("connect", after=client.log.index(lost), timeout_s=20)
        assert (again["recovered"], again["sid"]) == (True, first["sid"])
        assert titles(client) == ["missed"]


async def test_past_its_tokens_end_the_old_one_is_refused(cluster, unique):
    async with JavaScript() as javascript:
        client = await javascript.connect(
            cluster.nodes[0].url,
            auth={"token": mint(unique, expires_in_s=2)},
            transports=["websocket"],
        )
        await client.wait("connect")
        refused = await client.wait("connect_error", timeout_s=20)
        assert refused["data"]["code"] == "token_expired"


async def test_an_emit_from_outside_leaves_the_clients_offset_alone(cluster, unique):
    """`AsyncRedisManager.emit("chat", "hello")`: a stock client takes a string at the end for its offset."""
    a, b, _ = cluster.nodes
    outside = AsyncRedisManager(cluster.valkey.url, channel="notify:socketio", write_only=True)
    async with JavaScript() as javascript:
        client = await javascript.connect(a.url, auth={"token": mint(unique)}, transports=["websocket"])
        plain = await RawClient.connect(a.url, {"token": mint(unique), "recovery": False})
        await client.wait("connect")
        await plain.answer()
        await b.post({"to": {"user": unique}, "title": "seen"})
        await client.wait_event("notification")
        for arguments in ("hello", (), ("a", "b"), {"a": "b"}):
            await outside.emit("chat", arguments, room=f"@user/{unique}")
        await client.wait_event("chat", 4)
        said = [args for name, args in client.events if name == "chat"]
        assert said == [["hello"], [], ["a", "b"], [{"a": "b"}]]  # as they were emitted
        await plain.until(lambda: sum(event[0] == "chat" for event in plain.events) == 4)
        assert [event[1:] for event in plain.events if event[0] == "chat"] == [
            ["hello"],
            [],
            ["a", "b"],
            [{"a": "b"}],
        ]
        after = len(client.log)
        await client.cut()
        assert (await client.wait("connect", after=after))["recovered"] is True
        async with asyncio.timeout(30):
            await b.post({"to": {"user": unique}, "title": "next"})
            await client.wait_event("notification", 2)
        assert titles(client) == ["seen", "next"]
        await plain.close()
    await outside.redis.aclose()
