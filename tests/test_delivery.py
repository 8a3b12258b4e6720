"""The story of notify: what is POSTed to one node shows up with stock clients on all the others."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio

from tests.support.clients.javascript import JavaScript, JsClient
from tests.support.cluster import Cluster
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)

_names = itertools.count()

UNICODE = [
    "plain",
    "Grüße, señor",
    "日本語テキスト",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "a\u0301 combining",
    "\u202eright to left override",
    "zero\u200bwidth\ufeff",
    "line\u2028and\u2029paragraph",
    'quotes " and \\ backslash \n newline \t tab',
    "\U0010ffff end of planes",
    "<script>alert(1)</script> &amp;",
]

TRANSPORTS = [["websocket"], ["polling"], ["polling", "websocket"]]


@pytest.fixture
def name() -> str:
    """A word of this test's own, for its users and rooms."""
    return f"d{next(_names)}"


@pytest.fixture
async def javascript():
    async with JavaScript() as process:
        yield process


def titles(client: JsClient) -> list[str]:
    return [args[0]["title"] for event, args in client.events if event == "notification"]


async def connect(javascript, node, user, *, namespace="", transports=("websocket",), oldest=False, **claims):
    client = await javascript.connect(
        node.url + namespace, auth={"token": mint(user, **claims)}, transports=list(transports), oldest=oldest
    )
    await client.wait("connect")
    await client.wait_event("session:ready")
    return client


async def accepted(node, to, title, **fields):
    status, answer = await node.post({"to": to, "title": title, **fields})
    assert status == 202, answer
    return answer


async def until_titles(client, expected):
    await client.wait_event("notification", len(expected))
    assert titles(client) == expected


@pytest.mark.parametrize("oldest", [False, True], ids=["4.8", "4.0"])
@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
async def test_every_kind_of_target_reaches_clients_on_every_node(
    cluster, javascript, name, transports, oldest
):
    a, b, c = cluster.nodes
    options = {"transports": transports, "oldest": oldest}
    ada, bo, room = f"{name}-ada", f"{name}-bo", f"{name}-room"
    ada_b = await connect(javascript, b, ada, join=[room], **options)
    ada_c = await connect(javascript, c, ada, **options)
    bo_c = await connect(javascript, c, bo, join=[room], **options)
    own = await connect(javascript, b, ada, namespace=f"/users/{ada}", **options)
    chat = await connect(javascript, b, ada, namespace="/chat", join=[room], **options)

    await accepted(a, {"user": ada}, "to the user")
    await accepted(a, {"room": room}, "to the room")
    await accepted(a, {"users": [ada, bo]}, "to both users")
    await accepted(a, {"room": room}, "in another namespace", namespace="/chat")
    await accepted(a, {"all": True}, "in the own namespace", namespace=f"/users/{ada}")
    await accepted(a, {"room": room, "except_users": [bo]}, "not to bo")
    await accepted(a, {"user": ada, "room": room, "users": [bo]}, "once each")
    await accepted(a, {"users": [ada, bo]}, "end")
    await accepted(a, {"room": room}, "end", namespace="/chat")

    await until_titles(
        ada_b, ["to the user", "to the room", "to both users", "not to bo", "once each", "end"]
    )
    await until_titles(ada_c, ["to the user", "to both users", "once each", "end"])
    await until_titles(bo_c, ["to the room", "to both users", "once each", "end"])
    await until_titles(own, ["to the user", "to both users", "in the own namespace", "once each", "end"])
    await until_titles(chat, ["in another namespace", "end"])


async def test_all_is_everyone_in_the_namespace_on_every_node(cluster, javascript, name):
    clients = [await connect(javascript, node, f"{name}-{node.name}") for node in cluster.nodes]
    elsewhere = await connect(javascript, cluster.nodes[0], name, namespace="/chat")
    await accepted(cluster.nodes[1], {"all": True}, name)
    await accepted(cluster.nodes[1], {"all": True}, name + "-chat", namespace="/chat")
    for client in clients:
        await client.wait_event("notification")
        assert name in titles(client)
    await elsewhere.wait_event("notification")
    assert titles(elsewhere) == [name + "-chat"]


async def test_what_is_posted_arrives_as_it_was_posted(cluster, javascript, name):
    a, b, _ = cluster.nodes
    client = await connect(javascript, b, name)
    data = {"texts": UNICODE, "nested": {"a": [1, 2.5, None, True, {"b": {}}]}, "": "empty key", "big": 2**53}
    posted = {
        "to": {"user": name},
        "event": "build:done",
        "title": UNICODE[4],
        "body": "\n".join(UNICODE),
        "url": "https://ci.example/812?q=ü",
        "category": "ci",
        "priority": "urgent",
        "data": data,
        "ttl": 60,
    }
    status, answer = await a.post(posted)
    assert status == 202
    notification, offset = await client.wait_event("build:done")
    assert notification.pop("id") == answer["id"]
    assert notification.pop("created_at") == answer["created_at"]
    assert notification.pop("expires_at") == answer["expires_at"]
    badge = notification.pop("inbox")
    assert badge == {"rev": badge["place"], "place": badge["place"], "unseen": 1, "unread": 1}
    shown = ("title", "body", "url", "category", "priority", "data")
    assert notification == {key: posted[key] for key in shown}
    assert isinstance(offset, str)


async def test_a_thousand_targets_in_one_post(cluster, javascript, name):
    a, b, c = cluster.nodes
    first = await connect(javascript, b, f"{name}-0")
    last = await connect(javascript, c, f"{name}-999")
    await accepted(a, {"users": [f"{name}-{number}" for number in range(1000)]}, "to a thousand")
    await until_titles(first, ["to a thousand"])
    await until_titles(last, ["to a thousand"])


async def test_a_batch_of_a_thousand_with_three_bad_items(cluster, javascript, name):
    a, b, _ = cluster.nodes
    client = await connect(javascript, b, name)
    items: list[Any] = [{"to": {"user": name}, "title": str(number)} for number in range(1000)]
    items[7] = {"to": {}, "title": "nobody"}
    items[500] = {"to": {"user": name}, "priority": "louder"}
    items[999] = ["not an object"]
    status, answer = await a.post(items, batch=True)
    assert status == 207
    assert (answer["accepted"], answer["rejected"]) == (997, 3)
    assert [result["index"] for result in answer["results"] if "error" in result] == [7, 500, 999]
    assert [result["index"] for result in answer["results"]] == list(range(1000))
    good = [str(number) for number in range(1000) if number not in (7, 500, 999)]
    await until_titles(client, good)


async def test_two_publishers_on_two_nodes_and_every_client_sees_one_order(cluster, javascript, name):
    clients = [await connect(javascript, node, f"{name}-{node.name}", join=[name]) for node in cluster.nodes]

    async def publish(node):
        for number in range(100):
            await accepted(node, {"room": name}, f"{node.name}:{number}")

    await asyncio.gather(publish(cluster.nodes[0]), publish(cluster.nodes[1]))
    for client in clients:
        await client.wait_event("notification", 200, timeout_s=20)
    orders = [titles(client) for client in clients]
    assert orders[0] == orders[1] == orders[2]
    assert len(set(orders[0])) == 200


async def test_clients_send_to_each_other_where_their_tokens_allow_it(cluster, javascript, name):
    a, b, c = cluster.nodes
    ada, bo, room = f"{name}-ada", f"{name}-bo", f"{name}-room"
    sender = await connect(javascript, a, ada, send=[f"user:{bo}", f"room:{name}-*"], join=[room])
    receiver = await connect(javascript, b, bo, join=[room])
    other = await connect(javascript, c, f"{name}-cy", join=[room])
    (answer,) = await sender.call("send", {"to": {"user": bo}, "data": {"text": "hi"}})
    assert answer["ok"] is True
    message, offset = await receiver.wait_event("message")
    assert message == {"from": ada, "to": {"user": bo}, "data": {"text": "hi"}}
    assert offset == answer["offset"]
    (answer,) = await sender.call("send", {"to": {"room": room}, "event": "typing", "data": 1})
    assert answer["ok"] is True
    for client in (sender, receiver, other):
        assert (await client.wait_event("typing"))[0]["from"] == ada
    for asked, code in [
        ({"to": {"user": f"{name}-cy"}, "data": 1}, "forbidden"),
        ({"to": {"room": "somewhere-else"}, "data": 1}, "forbidden"),
        ({"to": {}, "data": 1}, "invalid"),
        ({"to": {"user": bo, "room": room}, "data": 1}, "invalid"),
        ({"to": {"user": 7}}, "invalid"),
        ({"to": {"user": bo}, "event": "connect"}, "invalid"),
        ({"to": {"user": bo}, "unknown": 1}, "invalid"),
        ("not an object", "invalid"),
    ]:
        (answer,) = await sender.call("send", asked)
        assert (answer["ok"], answer["error"]["code"]) == (False, code), asked
    (answer,) = await receiver.call("send", {"to": {"user": ada}, "data": 1})
    assert answer["error"]["code"] == "forbidden"


async def test_rooms_are_joined_and_left_on_request(cluster, javascript, name):
    a, b, _ = cluster.nodes
    client = await connect(javascript, b, name, rooms=[f"{name}:*"])
    room = f"{name}:1"
    (answer,) = await client.call("room:join", {"room": room})
    assert answer == {"ok": True, "room": room}
    await accepted(a, {"room": room}, "joined")
    await client.wait_event("notification")
    (answer,) = await client.call("room:leave", {"room": room})
    assert answer == {"ok": True, "room": room, "left": True}
    await accepted(a, {"room": room}, "left")
    await accepted(a, {"user": name}, "end")
    await client.wait_event("notification", 2)
    assert titles(client) == ["joined", "end"]
    for asked, code in [
        ({"room": "other"}, "forbidden"),
        ({"room": f"@user/{name}"}, "invalid"),
        ({"room": ""}, "invalid"),
        ({}, "invalid"),
        ({"room": 7}, "invalid"),
    ]:
        (answer,) = await client.call("room:join", asked)
        assert (answer["ok"], answer["error"]["code"]) == (False, code)
    for number in range(200):
        (answer,) = await client.call("room:join", {"room": f"{name}:{number}"})
        if not answer["ok"]:
            break
    assert answer["error"]["code"] == "too_many"


async def test_a_session_goes_on_with_a_newer_token(cluster, javascript, name):
    a = cluster.nodes[0]
    client = await connect(javascript, a, name, expires_in_s=8, join=[f"{name}-old"])
    (answer,) = await client.call(
        "session:refresh", {"token": mint(name, expires_in_s=600, join=[f"{name}-new"])}
    )
    assert answer["ok"] is True
    assert 590 < answer["expires_in"] <= 600
    assert answer["left"] == [f"{name}-old"]
    for token in (mint("somebody-else"), mint(name, expires_in_s=-1), "rubbish", None):
        (answer,) = await client.call("session:refresh", {"token": token})
        assert answer["ok"] is False
    assert client.said("disconnect") == []


async def test_only_the_user_may_connect_to_the_users_own_namespace(cluster, javascript, name):
    client = await javascript.connect(
        cluster.nodes[0].url + f"/users/{name}", auth={"token": mint("somebody-else")}
    )
    refused = await client.wait("connect_error")
    assert refused["data"]["code"] == "forbidden"


async def test_a_namespace_that_was_not_set_up_is_refused(cluster, javascript):
    client = await javascript.connect(cluster.nodes[0].url + "/nowhere", auth={"token": mint("ada")})
    assert (await client.wait("connect_error"))["message"] == "Invalid namespace"


@pytest.mark.parametrize("event", ["connect", "disconnect", "connect_error", "notification", "anything"])
async def test_events_with_the_names_of_server_handlers_reach_none(cluster, javascript, name, event):
    client = await connect(javascript, cluster.nodes[0], name)
    await client._command("raw", data=f'2["{event}",{{"a":1}},{{"b":2}}]')
    other = await connect(javascript, cluster.nodes[0], name)
    await accepted(cluster.nodes[1], {"user": name}, "still here")
    await until_titles(other, ["still here"])


async def test_the_python_client_takes_notifications_without_offsets(cluster, name):
    a, b, _ = cluster.nodes
    client = socketio.AsyncClient()
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @client.on("notification")
    async def on_notification(notification):
        await received.put(notification)

    await client.connect(b.url, auth={"token": mint(name), "recovery": False}, transports=["websocket"])
    try:
        await accepted(a, {"user": name}, "hello")
        async with asyncio.timeout(30):
            assert (await received.get())["title"] == "hello"
    finally:
        await client.disconnect()


@asynccontextmanager
async def outside(cluster, channel: str = "notify:socketio"):
    """A manager of python-socketio in another process, as the docs say."""
    manager = socketio.AsyncRedisManager(cluster.valkey.tcp_url, channel=channel, write_only=True)
    try:
        yield manager
    finally:
        if manager.redis is not None:
            await manager.redis.aclose()


async def test_an_external_manager_still_reaches_the_sockets(cluster, javascript, name):
    clients = [await connect(javascript, node, f"{name}-{node.name}", join=[name]) for node in cluster.nodes]
    async with outside(cluster, "socketio") as plain, outside(cluster) as manager:
        await plain.emit("plain", {"n": 0}, room=name)  # nobody listens there unless it is set
        await manager.emit("outside", {"n": 1}, room=name)
        await manager.emit("no data", None, room=name)
        await manager.emit("text", "hello", room=name)
        for client in clients:
            assert await client.wait_event("outside") == [{"n": 1}]
            assert await client.wait_event("no data") == []
            assert await client.wait_event("text") == ["hello"]
            assert [event for event, _ in client.events if event == "plain"] == []


async def test_a_plain_channel_is_listened_to_where_it_is_set(tmp_path, javascript, name):
    async with Cluster(2, directory=tmp_path, environ={"NOTIFY_SOCKETIO_CHANNEL": "socketio"}) as cluster:
        clients = [await connect(javascript, node, name, join=[name]) for node in cluster.nodes]
        async with outside(cluster, "socketio") as plain:
            await plain.emit("plain", {"n": 1}, room=name)
            for client in clients:
                assert await client.wait_event("plain") == [{"n": 1}]


@pytest.mark.parametrize("emitted", [None, "hello"], ids=["no data", "text"])
async def test_an_emit_from_outside_leaves_a_clients_place_as_it_was(cluster, javascript, name, emitted):
    a, b, c = cluster.nodes
    client = await connect(javascript, b, name)
    await accepted(a, {"user": name}, "before")
    await client.wait_event("notification")
    async with outside(cluster) as manager:
        await manager.emit("chat", emitted, room=f"@user/{name}")
    await client.wait_event("chat")
    await client.cut()
    await client.wait("disconnect")
    lost = len(client.log)
    await accepted(c, {"user": name}, "missed")
    back = await client.wait("connect", after=lost)
    assert back["recovered"] is True
    await client.wait_event("notification", 2)
    await accepted(c, {"user": name}, "after")
    await client.wait_event("notification", 3)
    assert titles(client) == ["before", "missed", "after"]


async def test_the_same_key_makes_one_notification_however_often_it_is_sent(cluster, javascript, name):
    client = await connect(javascript, cluster.nodes[2], name)
    body = {"to": {"user": name}, "title": "once"}

    async def post(node):
        while True:
            status, answer = await node.post(body, idempotency_key=f"key-{name}")
            if status != 409:
                return status, answer
            assert answer["code"] == "in_flight"
            await asyncio.sleep(0.05)

    answers = await asyncio.gather(*(post(node) for node in cluster.nodes for _ in range(34)))
    assert {status for status, _ in answers} == {202}
    assert len({json.dumps(answer, sort_keys=True) for _, answer in answers}) == 1
    status, answer = await cluster.nodes[1].post({**body, "title": "other"}, idempotency_key=f"key-{name}")
    assert (status, answer["code"]) == (422, "idempotency_key_reused")
    await accepted(cluster.nodes[0], {"user": name}, "end")
    await client.wait_event("notification", 2)
    assert titles(client) == ["once", "end"]


async def test_the_same_key_covers_a_whole_batch(cluster, javascript, name):
    a, b, _ = cluster.nodes
    client = await connect(javascript, b, name)
    items = [{"to": {"user": name}, "title": str(number)} for number in range(20)]
    items[3] = {"title": "no target"}
    first = await a.post(items, batch=True, idempotency_key=f"batch-{name}")
    again = await b.post(items, batch=True, idempotency_key=f"batch-{name}")
    assert first == again
    assert first[0] == 207
    await accepted(a, {"user": name}, "end")
    await client.wait_event("notification", 20)
    assert titles(client) == [str(number) for number in range(20) if number != 3] + ["end"]
