"""What is left of a user who was erased: every key is looked at, before and after."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest

from notify.domain.moments import timestamp
from notify.store.keys import Keys
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import JWT_SECRET, mint

pytestmark = pytest.mark.timeout(180)

KEYS = Keys()
USER = 'erika:"{x}*/ü'
"""A name that means something to patterns, to JSON, to hash tags and to addresses."""


def everything(cluster: Cluster) -> dict[str, str]:
    """Every key with all that it holds, as text."""
    found = {}
    with cluster.valkey.client() as client:
        read: dict[Any, Callable[[Any], Any]] = {
            b"string": client.get,
            b"list": lambda name: client.lrange(name, 0, -1),
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
            b"stream": client.xrange,
        }
        for name in client.scan_iter(count=1000):
            held = read[client.type(name)](name)
            found[name.decode()] = _text(held)
    return found


def _text(held: Any) -> str:
    """Names stand in JSON, in hash tags, and as they are."""
    if isinstance(held, bytes):
        return held.decode("utf-8", "replace")
    if isinstance(held, dict):
        return " ".join(_text(part) for pair in held.items() for part in pair)
    if isinstance(held, list | tuple | set):
        return " ".join(_text(part) for part in held)
    return str(held)


def naming(keys: dict[str, str], user: str) -> set[str]:
    """The keys that name a user, in whichever way."""
    ways = {user, user.replace("}", "%7D"), user.replace('"', '\\"'), user.replace("/", "\\/")}
    ways |= {user.replace('"', '\\"').replace("/", "\\/"), user.replace("ü", "\\u00fc").replace('"', '\\"')}
    return {name for name, held in keys.items() if any(way in name or way in held for way in ways)}


async def let_in(node: Node, user: str, namespace: str = "/", **claims: Any) -> RawClient:
    client = await RawClient.connect(node.url, {"token": mint(user, **claims)}, namespace=namespace)
    assert not (await client.answer())["refused"]
    return client


def sent_away(client: RawClient) -> bool:
    return any(packet.startswith("1") for packet in client.packets)


async def send(node: Node, to: dict[str, Any], **fields: Any) -> str:
    status, answer = await node.post({"to": to, "title": "Hello", **fields})
    assert status == 202, answer
    return str(answer["id"])


async def erase(node: Node, user: str = USER) -> int:
    status, _ = await node.request("DELETE", f"/v1/users/{quote(user, safe='')}")
    return status


async def fill(cluster: Cluster) -> dict[str, str]:
    """Everything that may be kept of a user; some of the notifications, by what they are."""
    a, b, c = cluster.nodes
    at = timestamp(int((time.time() + 3600) * 1000))
    away = await let_in(c, USER)
    await away.lose()
    ids = {
        "own": await send(a, {"user": USER}, collapse_key="x"),
        "shared": await send(a, {"users": [USER, "bob"]}),
        "outside": await send(a, {"users": [USER, "bob"]}, inbox=False),
        "only outside": await send(a, {"user": USER}, inbox=False),
        "mixed": await send(a, {"user": USER, "room": "lobby"}),
        "chat": await send(a, {"users": [USER, "bob"]}, namespace="/chat"),
        "left out": await send(a, {"room": "lobby", "except_users": [USER]}),
        "later": await send(a, {"user": USER}, deliver_at=at),
        "later shared": await send(a, {"users": [USER, "bob"]}, deliver_at=at),
        "later left out": await send(a, {"room": "lobby", "except_users": [USER]}, deliver_at=at),
        "later outside": await send(a, {"users": [USER, "bob"]}, deliver_at=at, inbox=False),
    }
    for name in ("own", "shared"):
        assert ids[name]
    await b.request("POST", "/v1/users/bob/inbox/mark", json={"as": "seen", "ids": [ids["shared"]]})
    return ids


async def status(node: Node, id_: str) -> str:
    answered, found = await node.request("GET", f"/v1/notifications/{id_}")
    assert answered == 200, found
    return str(found["status"])


async def test_nothing_is_left_but_what_is_said(tmp_path: Path) -> None:
    async with Cluster(3, directory=tmp_path) as cluster:
        a, b, c = cluster.nodes
        bob = await let_in(b, "bob", join=["lobby"])
        await send(a, {"user": "bob"})
        before_any = everything(cluster)
        assert naming(before_any, USER) == set()

        here = [await let_in(node, USER, namespace) for node, namespace in ((a, "/"), (b, "/chat"))]
        ids = await fill(cluster)
        await here[0].until(lambda: len(here[0].notifications) == 5)
        with cluster.valkey.client() as client:
            client.set(KEYS.revoked_by_name(USER), 5, ex=60)  # by the version before
        before = everything(cluster)
        kinds = {
            name.removeprefix("notify:").partition(":")[0] + ("" if not name.endswith("}:to") else ":to")
            for name in naming(before, USER)
        }
        assert kinds >= {"session", "seen", "inbox", "log", "last", "record", "record:to", "revoked"}, kinds
        assert any(name.endswith(":plan") for name in naming(before, USER))

        assert await erase(c) == 204
        for client_ in here:
            await client_.until(
                lambda client_=client_: any(packet.startswith("1") for packet in client_.packets)
            )
        after = everything(cluster)
        left = naming(after, USER)
        assert left == {"notify:log:room:/:lobby"}, "as one who was left out"
        assert KEYS.revoked(USER) in after
        new = set(after) - set(before)
        assert new <= {KEYS.revoked(USER), KEYS.record(ids["later"]) + ":retracted"}, new

        # Nobody else has lost anything.
        for name, id_ in ids.items():
            expected = {"later": "retracted"}.get(
                name, "scheduled" if name.startswith("later") else "accepted"
            )
            assert await status(a, id_) == expected, name
        _, page = await a.request("GET", "/v1/users/bob/inbox")
        assert ids["shared"] in [entry["id"] for entry in page["data"]]
        _, shared = await a.request("GET", f"/v1/notifications/{ids['shared']}?recipients=true")
        assert (shared["recipients"], [one["user"] for one in shared["users"]]) == (2, ["bob"])
        assert shared["title"] == "Hello"
        for name in ("own", "only outside"):
            _, gone = await a.request("GET", f"/v1/notifications/{ids[name]}")
            assert "title" not in gone, name

        assert await erase(b) == 204, "once more"
        assert naming(everything(cluster), USER) == left
        await bob.close()
        for client_ in here:
            await client_.close()


async def test_a_later_notification_begins_anew_and_rev_goes_on(tmp_path: Path) -> None:
    async with Cluster(2, directory=tmp_path) as cluster:
        a, b = cluster.nodes
        old = mint("ada")
        client = await RawClient.connect(b.url, {"token": old})
        pid = (await client.answer())["pid"]
        ids = [await send(a, {"user": "ada"}) for _ in range(3)]
        await client.until(lambda: len(client.notifications) == 3)
        _, page = await a.request("GET", "/v1/users/ada/inbox")
        assert await erase(a, "ada") == 204
        await client.close()
        refused = await RawClient.connect(b.url, {"token": old, "pid": pid, "offset": client.offset})
        assert (await refused.answer())["data"]["code"] == "token_revoked"
        await refused.close()

        new = await send(a, {"user": "ada"}, title="anew")
        _, found = await b.request("GET", "/v1/users/ada/inbox")
        assert [entry["id"] for entry in found["data"]] == [new]
        assert found["counts"] == {"unseen": 1, "unread": 1, "total": 1}
        assert found["rev"] > page["rev"]
        claims = jwt.decode(old, JWT_SECRET, ["HS256"])
        newer = jwt.encode({**claims, "iat": claims["iat"] + 5}, JWT_SECRET, "HS256")
        again = await RawClient.connect(a.url, {"token": newer, "pid": pid, "offset": client.offset})
        assert (await again.answer())["pid"] != pid
        assert again.notifications == []
        for id_ in ids:
            assert await status(a, id_) == "accepted"
        await again.close()


async def test_what_is_scheduled_for_others_still_comes_and_not_for_the_erased(tmp_path: Path) -> None:
    async with Cluster(2, directory=tmp_path) as cluster:
        a, b = cluster.nodes
        bob = await let_in(b, "bob")
        at = timestamp(int((time.time() + 1.5) * 1000))
        shared = await send(a, {"users": ["ada", "bob"]}, deliver_at=at)
        alone = await send(a, {"user": "ada"}, deliver_at=at)
        assert await erase(a, "ada") == 204
        assert await status(a, alone) == "retracted"
        await bob.until(lambda: bob.notifications)
        assert bob.events[-1][1]["id"] == shared
        keys = everything(cluster)
        assert not [name for name in keys if name.endswith(":ada") or "{ada}" in name]
        assert naming(keys, '"ada"') == set()
        await bob.close()


async def test_a_node_that_did_not_hear_it_writes_nothing_down_later(tmp_path: Path) -> None:
    async with Cluster(2, directory=tmp_path, environ={"NOTIFY_RECOVERY_WINDOW": "30"}) as cluster:
        a, b = cluster.nodes
        client = await let_in(b, "ada")
        b.signal(signal.SIGSTOP)
        try:
            assert await erase(a, "ada") == 204
        finally:
            b.signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            while not sent_away(client) and not client.closed.is_set():
                await asyncio.sleep(0.05)
        await client.close()
        assert await a.request("GET", "/v1/users/ada/presence") == (
            200,
            {"online": False, "connections": [], "last_seen": None},
        )
