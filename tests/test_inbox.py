"""The inbox as people meet it: stock clients on three nodes, on both transports, and a backend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio

from notify.domain.moments import timestamp
from tests.support.clients.javascript import JavaScript, JsClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)

CHANGES = ("inbox:changed", "notification:removed")


@pytest.fixture
def name(unique: str) -> str:
    return f"inbox-{unique}"


@pytest.fixture
async def javascript() -> AsyncIterator[JavaScript]:
    async with JavaScript() as process:
        yield process


async def connect(
    javascript: JavaScript, node: Node, user: str, transport: str = "websocket", namespace: str = ""
) -> JsClient:
    client = await javascript.connect(
        node.url + namespace, auth={"token": mint(user)}, transports=[transport]
    )
    await client.wait_event("session:ready")
    return client


async def post(node: Node, user: str, title: str = "Hello", **fields: Any) -> str:
    status, answer = await node.post({"to": {"user": user}, "title": title, **fields})
    assert status == 202, answer
    return str(answer["id"])


async def page(client: JsClient, **asked: Any) -> Any:
    (answer,) = await client.call("inbox:list", asked)
    assert answer.pop("ok"), answer
    return answer


async def mark(client: JsClient, what: str, **asked: Any) -> Any:
    (answer,) = await client.call("inbox:mark", {"as": what, **asked})
    assert answer.pop("ok"), answer
    return answer


def told(client: JsClient, *kinds: str) -> list[tuple[str, Any]]:
    """(event, first argument) of those kinds, in order."""
    return [(event, args[0]) for event, args in client.events if event in (kinds or CHANGES)]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_who_was_away_finds_what_came_and_every_screen_follows(
    cluster: Cluster, javascript: JavaScript, name: str, transport: str
) -> None:
    a, b, c = cluster.nodes
    first, second = await post(a, name, "first"), await post(b, name, "second")
    tabs = [await connect(javascript, node, name, transport) for node in (a, b, c)]
    for tab in tabs:
        ((ready,),) = [args for event, args in tab.events if event == "session:ready"]
        assert ready["inbox"] == {"rev": ready["inbox"]["rev"], "unseen": 2, "unread": 2}
    found = await page(tabs[0])
    assert [entry["id"] for entry in found["data"]] == [second, first]
    assert found["rev"] == ready["inbox"]["rev"]

    seen = await mark(tabs[0], "seen", up_to=second)
    read = await mark(tabs[1], "read", ids=[first])
    third = await post(c, name, "third")
    for tab in tabs:
        arrived, offset = await tab.wait_event("notification")
        assert isinstance(offset, str)
        assert arrived["id"] == third
        (_, was_seen), (_, was_read) = told(tab)
        assert (was_seen["as"], was_seen["rev"]) == ("seen", seen["rev"])
        assert set(was_seen.get("ids", [first, second])) == {first, second}
        assert was_seen["counts"] == seen["counts"] == {"unseen": 0, "unread": 2, "total": 2}
        assert (was_read["as"], was_read["ids"], was_read["rev"]) == ("read", [first], read["rev"])
        assert was_read["counts"] == {"unseen": 0, "unread": 1, "total": 2}
        assert arrived["inbox"] == {
            "rev": read["rev"] + 1,
            "place": read["rev"] + 1,
            "unseen": 1,
            "unread": 2,
        }, "in one order with the changes"


async def test_every_kind_of_change_is_told_to_all_and_costs_one_rev(
    cluster: Cluster, javascript: JavaScript, name: str
) -> None:
    a, b, _ = cluster.nodes
    tab = await connect(javascript, a, name)
    other = await connect(javascript, b, name, namespace=f"/users/{name}")
    (id_,) = [await post(a, name)]
    until = timestamp((int(time.time()) + 3600) * 1000)
    steps: list[tuple[str, dict[str, Any], tuple[int, int, int]]] = [
        ("seen", {}, (0, 1, 1)),
        ("read", {}, (0, 0, 1)),
        ("unread", {}, (0, 1, 1)),
        ("archived", {}, (0, 0, 0)),
        ("unarchived", {}, (0, 1, 1)),
        ("snoozed", {"until": until}, (0, 0, 0)),
        ("unsnoozed", {}, (1, 1, 1)),
        ("deleted", {}, (0, 0, 0)),
    ]
    rev = (await page(tab))["rev"]
    for what, more, expected in steps:
        done = await mark(tab, what, ids=[id_], **more)
        counts = (done["counts"]["unseen"], done["counts"]["unread"], done["counts"]["total"])
        if what != "unsnoozed":
            assert counts == expected, what
        assert done["changed"] == 1, what
        again = await mark(tab, what, ids=[id_], **more)
        assert (again["changed"], again["rev"]) == (0, done["rev"]), what
        rev = done["rev"]
    last = ("notification:removed", {"ids": [id_], "reason": "deleted", "rev": rev, "counts": done["counts"]})
    for client in (tab, other):
        await client.wait_event("notification:removed")
        changes = told(client)
        assert changes[-1] == last
        assert [change["as"] for _, change in changes[:-1]] == [what for what, _, _ in steps[:-1]]
        revs = [change["rev"] for _, change in changes]
        assert revs == list(range(revs[0], revs[0] + len(steps))), (
            "one for each, and none for what changed nothing"
        )
        assert "until" in changes[5][1]


async def test_what_collapses_and_what_is_too_much_leaves_all_screens(
    tmp_path: Any, javascript: JavaScript, name: str
) -> None:
    async with Cluster(2, directory=tmp_path, environ={"NOTIFY_INBOX_MAX": "3"}) as cluster:
        a, b = cluster.nodes
        tab = await connect(javascript, b, name)
        ids = [await post(a, name, f"{number}", collapse_key="k") for number in range(2)]
        others = [await post(a, name, f"{number}") for number in range(3)]
        await tab.wait_event("notification:removed", 2)
        (_, collapsed), (_, trimmed) = told(tab)
        assert (collapsed["ids"], collapsed["reason"]) == ([ids[0]], "collapsed")
        assert (trimmed["ids"], trimmed["reason"]) == ([ids[1]], "trimmed")
        assert trimmed["counts"]["total"] == 2, "before the one that was too much came"
        assert [entry["id"] for entry in (await page(tab))["data"]] == others[::-1]


async def test_what_falls_due_is_told_within_a_second_or_so(
    cluster: Cluster, javascript: JavaScript, name: str
) -> None:
    a, b, _ = cluster.nodes
    tab = await connect(javascript, a, name)
    short = await post(b, name, "short", ttl=2)
    snoozed = await post(b, name, "snoozed")
    until_ms = int(time.time() * 1000) + 1500
    await mark(tab, "snoozed", ids=[snoozed], until=timestamp(until_ms))
    back, _ = await tab.wait_event("notification", 3)
    came_back = time.time() * 1000
    await tab.wait_event("notification:removed")
    assert back["id"] == snoozed, "the same one"
    assert back["inbox"]["place"] == back["inbox"]["rev"]
    assert came_back - until_ms < 5_000, "no later than a loaded machine makes it"
    (removed,) = [args[0] for event, args in tab.events if event == "notification:removed"]
    assert (removed["ids"], removed["reason"]) == ([short], "expired")
    (entry,) = (await page(tab))["data"]
    assert (entry["id"], entry["seen_at"], entry["snoozed_until"]) == (snoozed, None, None)


async def test_a_recovery_replays_what_is_still_there_and_ends_with_a_reset(
    cluster: Cluster, javascript: JavaScript, name: str
) -> None:
    a, b, _ = cluster.nodes
    tab = await connect(javascript, a, name)
    other = await connect(javascript, b, name)
    await post(a, name, "before")
    await tab.wait_event("notification")
    await tab.cut()
    kept = await post(b, name, "kept")
    dropped = await post(b, name, "deleted meanwhile")
    old = await post(b, name, "old", collapse_key="k")
    new = await post(b, name, "new", collapse_key="k")
    await other.wait_event("notification", 5)
    done = await mark(other, "deleted", ids=[dropped])
    await tab.wait("connect", recovered=True)
    resets = [args for event, args in tab.events if event == "inbox:changed" and args[0]["as"] == "reset"]
    arrived = [args[0]["id"] for event, args in tab.events if event == "notification"]
    if dropped not in arrived:  # it came back after all of that had happened
        assert [one for one in arrived if one in (kept, old, new)] == [kept, new]
    assert arrived[-1] == new
    assert len(resets) == 1
    reset, offset = resets[0]
    assert isinstance(offset, str)
    assert reset["counts"].keys() == {"unseen", "unread", "total"}
    now = await page(tab)
    assert now["counts"] == done["counts"]


async def test_a_list_that_has_not_changed_is_not_sent_again(
    cluster: Cluster, javascript: JavaScript, name: str
) -> None:
    tab = await connect(javascript, cluster.nodes[0], name)
    await post(cluster.nodes[1], name)
    found = await page(tab, limit=1)
    assert await page(tab, limit=1, if_rev=found["rev"]) == {"unchanged": True}
    await mark(tab, "seen", ids=[found["data"][0]["id"]])
    assert (await page(tab, limit=1, if_rev=found["rev"]))["counts"]["unseen"] == 0


async def test_pages_of_large_entries_cut_nobody_off(
    cluster: Cluster, javascript: JavaScript, name: str
) -> None:
    ids = [await post(cluster.nodes[0], name, "large", body="x" * 60_000) for _ in range(20)]
    tab = await connect(javascript, cluster.nodes[1], name)
    answers = await asyncio.gather(*(tab.call("inbox:list", {"limit": 20}) for _ in range(12)))
    refused = [answer for (answer,) in answers if not answer["ok"]]
    assert {answer["error"]["code"] for answer in refused} <= {"too_many"}
    assert len(answers) - len(refused) >= 4
    seen: list[str] = []
    after = None
    while True:
        found = await page(tab, limit=20, **({"after": after} if after else {}))
        assert 1 <= len(found["data"]) <= 5, "a page ends at 256 KiB"
        seen += [entry["id"] for entry in found["data"]]
        after = found["next"]
        if after is None:
            break
    assert seen == ids[::-1]
    assert not tab.said("disconnect")


async def test_two_thousand_entries_are_paged_while_others_come_and_go(
    tmp_path: Any, javascript: JavaScript, name: str
) -> None:
    async with Cluster(2, directory=tmp_path, environ={"NOTIFY_INBOX_MAX": "5000"}) as cluster:
        a, b = cluster.nodes
        ids: list[str] = []
        for begin in (0, 1000):
            items = [{"to": {"user": name}, "title": f"{begin + number}"} for number in range(1000)]
            status, answer = await a.post(items, batch=True)
            assert status == 202
            ids += [result["id"] for result in answer["results"]]
        tab = await connect(javascript, b, name)
        gone: set[str] = set()

        async def disturb() -> None:
            for number in range(100):
                await asyncio.gather(*(post(a, name, f"new {number}") for _ in range(5)))
                victims = ids[number * 19 : number * 19 + 3]
                await mark(tab, "deleted", ids=victims)
                gone.update(victims)

        disturbing = asyncio.create_task(disturb())
        seen: list[str] = []
        after = None
        while True:
            found = await page(tab, limit=10, **({"after": after} if after else {}))
            seen += [entry["id"] for entry in found["data"]]
            after = found["next"]
            if after is None:
                break
        await disturbing
        assert len(seen) == len(set(seen)), "none twice"
        old = [one for one in seen if one in set(ids)]
        assert old == [one for one in ids[::-1] if one in set(old)], "in order"
        assert set(ids) - set(old) <= gone, "none skipped that was there all the time"


async def test_pythons_client_gets_all_of_it_too(cluster: Cluster, name: str) -> None:
    a, b, _ = cluster.nodes
    heard: asyncio.Queue[tuple[str, tuple[Any, ...]]] = asyncio.Queue()
    client = socketio.AsyncClient()
    for event in ("notification", "inbox:changed", "notification:removed", "session:ready"):

        @client.on(event)
        async def _(*args: Any, event: str = event) -> None:
            heard.put_nowait((event, args))

    await client.connect(a.url, auth={"token": mint(name), "recovery": False}, transports=["websocket"])
    try:
        async with asyncio.timeout(30):
            event, (ready,) = await heard.get()
            assert (event, ready["inbox"]["unseen"]) == ("session:ready", 0)
            id_ = await post(b, name)
            event, (arrived,) = await heard.get()
            assert (event, arrived["id"], arrived["inbox"]["unseen"]) == ("notification", id_, 1)
            found = await client.call("inbox:list", {})
            assert [entry["id"] for entry in found["data"]] == [id_]
            await client.call("inbox:mark", {"as": "read", "up_to": id_})
            event, (changed,) = await heard.get()
            assert (event, changed["as"], changed["counts"]["unread"]) == ("inbox:changed", "read", 0)
            await client.call("inbox:mark", {"as": "deleted", "ids": [id_]})
            event, (removed,) = await heard.get()
            assert (event, removed["reason"]) == ("notification:removed", "deleted")
    finally:
        await client.disconnect()


@pytest.mark.parametrize(
    ("event", "asked", "pointer"),
    [
        ("inbox:list", {"limit": "ten"}, "/limit"),
        ("inbox:list", {"limit": 101}, "/limit"),
        ("inbox:list", {"status": "new"}, "/status"),
        ("inbox:list", {"after": 5}, "/after"),
        ("inbox:list", {"category": []}, "/category"),
        ("inbox:list", {"if_rev": "1"}, "/if_rev"),
        ("inbox:list", {"user": "bob"}, "/user"),
        ("inbox:mark", {"as": "read"}, "/ids"),
        ("inbox:mark", {"as": "gone", "ids": ["ntf_x"]}, "/as"),
        ("inbox:mark", {"as": "read", "ids": ["ntf_x"], "user": "bob"}, "/user"),
    ],
)
async def test_wrong_questions_are_answered_with_the_field(
    cluster: Cluster, javascript: JavaScript, name: str, event: str, asked: Any, pointer: str
) -> None:
    tab = await connect(javascript, cluster.nodes[0], name)
    (answer,) = await tab.call(event, asked)
    assert (answer["ok"], answer["error"]["code"]) == (False, "invalid")
    assert [fault["pointer"] for fault in answer["error"]["errors"]] == [pointer]


async def test_a_node_that_could_not_hear_tells_its_people_to_look(
    cluster: Cluster, javascript: JavaScript, name: str
) -> None:
    a, b, _ = cluster.nodes
    tab = await connect(javascript, a, name)
    other = await connect(javascript, b, name)
    await post(b, name)
    await tab.wait_event("notification")
    with cluster.valkey.client() as redis:
        redis.client_kill_filter(_type="pubsub")
    done = await mark(other, "read", up_to=(await page(other))["rev"])
    async with asyncio.timeout(30), tab.changed:
        while not any(change["rev"] >= done["rev"] for _, change in told(tab)):
            await tab.changed.wait()
    assert told(tab)[-1][1]["counts"] == done["counts"]
