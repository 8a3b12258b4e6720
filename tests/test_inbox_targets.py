"""Each inbox once, and each screen once: many users, a node that dies half-way, users in a room too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.proxy import Proxy
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


@dataclass
class Apart:
    """Two nodes: `far` reaches Redis by a way that can be cut."""

    near: Node
    far: Node
    way: Proxy


@pytest.fixture
async def apart(tmp_path: Path) -> AsyncIterator[Apart]:
    cluster = Cluster(1, directory=tmp_path)
    way = Proxy(cluster.valkey.port)
    await way.start()
    try:
        far = cluster.add(NOTIFY_REDIS_URL=f"redis://127.0.0.1:{way.port}")
        async with cluster:
            yield Apart(cluster.nodes[0], far, way)
    finally:
        await way.stop()


async def connected(node: Node, user: str, *, namespace: str = "/", **auth: Any) -> RawClient:
    token = mint(user, join=["hall"])
    client = await RawClient.connect(node.url, {"token": token, **auth}, namespace=namespace)
    assert not (await client.answer())["refused"]
    await client.until(lambda: any(event[0] == "session:ready" for event in client.events))
    return client


async def inbox(node: Node, user: str) -> Any:
    status, page = await node.request("GET", f"/v1/users/{user}/inbox?limit=100")
    assert status == 200, page
    return page


def arrived(client: RawClient) -> list[Any]:
    return [event[1] for event in client.events if event[0] == "notification"]


def resets(client: RawClient) -> list[Any]:
    return [event[1] for event in client.events if event[0] == "inbox:changed" and event[1]["as"] == "reset"]


async def test_a_thousand_users_of_a_node_that_dies_half_way_have_it_once_after_the_retry(apart: Apart):
    users = [f"user-{number}" for number in range(1000)]
    body = {"to": {"users": users}, "title": "to all of you"}
    key = "half-way"
    screens = [await connected(apart.near, users[number]) for number in (0, 500, 999)]
    apart.way.stall_after(60_000)
    posting = asyncio.create_task(apart.far.post(body, idempotency_key=key))
    await asyncio.wait_for(_stalled(apart.way), 20)
    await screens[0].until(lambda: arrived(screens[0]))
    apart.far.kill()
    await asyncio.gather(posting, return_exceptions=True)
    half = [(await inbox(apart.near, user))["counts"]["total"] for user in (users[0], users[-1])]
    assert half == [1, 0], "it died half-way"

    deadline = time.monotonic() + 60
    while True:
        status, answer = await apart.near.post(body, idempotency_key=key)
        if status == 202:
            break
        assert status == 409, answer  # its lease has not run out yet
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    for screen in screens:
        await screen.until(lambda screen=screen: arrived(screen))
    for begin in range(0, 1000, 50):
        for page in await asyncio.gather(*(inbox(apart.near, user) for user in users[begin : begin + 50])):
            assert [entry["id"] for entry in page["data"]] == [answer["id"]]
            assert page["counts"] == {"unseen": 1, "unread": 1, "total": 1}
    status, again = await apart.near.post(body, idempotency_key=key)
    assert (status, again["id"]) == (202, answer["id"])
    await apart.near.post({"to": {"users": [users[0], users[500], users[999]]}, "title": "the last"})
    for screen in screens:
        await screen.until(lambda screen=screen: "the last" in screen.notifications)
        assert screen.notifications == ["to all of you", "the last"]
        await screen.close()


async def _stalled(way: Proxy) -> None:
    while not way.has_stalled:
        await asyncio.sleep(0.005)


def _is_the_users_copy(said: Any) -> bool:
    its_own: bool = said["inbox"] == {
        "rev": said["inbox"]["rev"],
        "place": said["inbox"]["rev"],
        "unseen": 1,
        "unread": 1,
    }
    return its_own


MIXED = {"to": {"user": "ada", "room": "hall"}, "title": "both"}
LAST = {"to": {"room": "hall"}, "title": "the last"}


async def test_of_a_mixed_target_one_copy_comes_live_with_the_inbox(apart: Apart):
    ada, bob = await connected(apart.far, "ada"), await connected(apart.far, "bob")
    for note in (MIXED, LAST):
        assert (await apart.near.post(note))[0] == 202
    for client in (ada, bob):
        await client.until(lambda client=client: "the last" in client.notifications)
        assert client.notifications == ["both", "the last"]
    assert _is_the_users_copy(arrived(ada)[0])
    assert "inbox" not in arrived(bob)[0]
    assert (await inbox(apart.near, "ada"))["counts"]["total"] == 1
    assert (await inbox(apart.near, "bob"))["counts"]["total"] == 0


async def test_of_a_mixed_target_one_copy_is_replayed_with_the_inbox(apart: Apart):
    ada = await connected(apart.far, "ada")
    pid = (await ada.answer())["pid"]
    await ada.lose()
    assert (await apart.near.post(MIXED))[0] == 202
    back = await connected(apart.near, "ada", pid=pid)
    assert (await back.answer())["pid"] == pid
    (said,) = arrived(back)
    assert _is_the_users_copy(said)
    (reset,) = resets(back)
    assert (reset["rev"], reset["counts"]["unread"]) == (said["inbox"]["rev"], 1)


@pytest.mark.parametrize("copies", [0, 1])
async def test_of_a_mixed_target_one_copy_is_healed_with_the_inbox(apart: Apart, copies: int):
    """The subscription is cut before the user's copy, or between it and the room's."""
    ada = await connected(apart.far, "ada")
    apart.way.cut_after(copies)
    assert (await apart.near.post(MIXED))[0] == 202
    await ada.until(lambda: resets(ada))
    assert apart.way.has_cut
    assert (await apart.near.post(LAST))[0] == 202
    await ada.until(lambda: "the last" in ada.notifications)
    assert ada.notifications == ["both", "the last"]
    assert _is_the_users_copy(arrived(ada)[0])
    assert resets(ada)[-1]["counts"] == {"unseen": 1, "unread": 1, "total": 1}


@pytest.mark.parametrize("namespace", ["/", "/users/ada"])
@pytest.mark.parametrize("known", [True, False])
async def test_a_recovery_ends_with_one_reset_before_it_is_answered(
    apart: Apart, namespace: str, known: bool
):
    """Marks, removals and expiry meanwhile are in no log; one `reset` makes up for all of them."""
    ada = await connected(apart.far, "ada", namespace=namespace)
    pid = (await ada.answer())["pid"]
    ids = {}
    for title in ("read", "deleted", "stays"):
        ids[title] = (await apart.near.post({"to": {"user": "ada"}, "title": title}))[1]["id"]
    await ada.until(lambda: len(ada.notifications) == 3)
    offset = ada.offset if known else None
    await ada.lose()

    notes: tuple[dict[str, Any], ...] = (
        {"title": "short", "ttl": 1},
        {"title": "older", "collapse_key": "k"},
        {"title": "newer", "collapse_key": "k"},
        {"title": "gone"},
    )
    for note in notes:
        ids[note["title"]] = (await apart.near.post({"to": {"user": "ada"}, **note}))[1]["id"]
    for what, which in (("read", "read"), ("deleted", "deleted"), ("deleted", "gone")):
        status, done = await apart.near.request(
            "POST", "/v1/users/ada/inbox/mark", json={"as": what, "ids": [ids[which]]}
        )
        assert (status, done["changed"]) == (200, 1)
    async with asyncio.timeout(30):
        while (now := await inbox(apart.near, "ada"))["counts"]["total"] > 3:  # `short` is still there
            await asyncio.sleep(0.05)

    back = await connected(
        apart.near, "ada", namespace=namespace, pid=pid, **({"offset": offset} if offset else {})
    )
    assert (await back.answer())["pid"] == pid
    replayed = ["newer"] if known else ["read", "stays", "newer"]
    assert back.notifications == replayed, "what is gone is left out"
    (reset,) = resets(back)
    assert (reset["rev"], reset["counts"]) == (now["rev"], now["counts"])
    prefix = "" if namespace == "/" else namespace + ","
    heads = [packet.partition("[")[0].partition("{")[0] for packet in back.packets]
    answered = heads.index("0" + prefix)
    assert answered == len(replayed) + 1, "the reset is the last thing before the answer"
    assert "reset" in back.packets[answered - 1]
    ready = next(event[1] for event in back.events if event[0] == "session:ready")
    assert ready["inbox"] == {"rev": now["rev"], "unseen": 2, "unread": 2}


async def test_beyond_the_window_there_is_no_reset_but_a_badge_and_a_list(tmp_path: Path):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_RECOVERY_WINDOW": "1"}) as cluster:
        (node,) = cluster.nodes
        ada = await connected(node, "ada")
        pid = (await ada.answer())["pid"]
        await ada.lose()
        id_ = (await node.post({"to": {"user": "ada"}, "title": "missed"}))[1]["id"]
        with cluster.valkey.client() as redis:
            async with asyncio.timeout(30):
                while list(redis.scan_iter("notify:session:*")):
                    await asyncio.sleep(0.05)
        back = await connected(node, "ada", pid=pid)
        assert (await back.answer())["pid"] != pid
        ready = next(event[1] for event in back.events if event[0] == "session:ready")
        listed = await back.call("inbox:list", {})
        assert [entry["id"] for entry in listed["data"]] == [id_]
        assert ready["inbox"] == {"rev": listed["rev"], "unseen": 1, "unread": 1}
        assert (ready["recovered"], back.notifications, resets(back)) == (False, [], [])
