"""The calls about people and rooms, over three nodes."""

from __future__ import annotations

import asyncio
import itertools

import jwt
import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import JWT_SECRET, mint

pytestmark = pytest.mark.timeout(120)

_names = itertools.count()


@pytest.fixture
def name() -> str:
    return f"people-{next(_names)}"


async def call(node, method: str, path: str, **kwargs):
    status, answer = await node.request(method, path, **kwargs)
    assert status == 200, answer
    return answer


async def let_in(node, user: str, **claims) -> RawClient:
    client = await RawClient.connect(node.url, {"token": mint(user, **claims)})
    assert not (await client.answer())["refused"]
    return client


async def test_presence_is_gathered_from_all_nodes(cluster, name):
    a, b, c = cluster.nodes
    before = await call(a, "GET", f"/v1/users/{name}/presence")
    assert before == {"online": False, "connections": [], "last_seen": None}
    clients = [await let_in(b, name), await let_in(c, name)]
    presence = await call(a, "GET", f"/v1/users/{name}/presence")
    assert presence["online"] is True
    assert {found["node"] for found in presence["connections"]} == {b.name, c.name}
    assert {found["sid"] for found in presence["connections"]} == {
        (await client.answer())["sid"] for client in clients
    }
    assert {found["transport"] for found in presence["connections"]} == {"websocket"}
    for client in clients:
        await client.lose()
    async with asyncio.timeout(30):
        while (presence := await call(a, "GET", f"/v1/users/{name}/presence"))["online"]:
            await asyncio.sleep(0.05)
    assert presence["last_seen"].endswith("Z")


async def test_a_killed_node_leaves_nobody_behind(tmp_path, name):
    async with Cluster(2, directory=tmp_path) as cluster:
        a, b = cluster.nodes
        client = await let_in(b, name)
        assert (await call(a, "GET", f"/v1/users/{name}/presence"))["online"]
        b.kill()
        presence = await call(a, "GET", f"/v1/users/{name}/presence")
        assert presence["connections"] == []
        await client.close()


async def test_a_user_is_disconnected_everywhere_and_stays_away(cluster, name):
    a, b, c = cluster.nodes
    async with JavaScript() as javascript:
        clients = [
            await javascript.connect(node.url, auth={"token": mint(name)}, transports=["websocket"])
            for node in (b, c)
        ]
        for client in clients:
            await client.wait("connect")
        answer = await call(a, "POST", f"/v1/users/{name}/disconnect")
        assert answer == {"disconnected": 2, "revoked": False}
        for client in clients:
            lost = await client.wait("disconnect")
            assert (lost["reason"], lost["active"]) == ("io server disconnect", False)
    again = await let_in(b, name)  # its token is as good as ever
    await again.close()


async def test_revoked_tokens_are_worth_nothing_and_newer_ones_are(cluster, name):
    a, b, _ = cluster.nodes
    old = mint(name)
    client = await RawClient.connect(b.url, {"token": old})
    pid = (await client.answer())["pid"]
    answer = await call(a, "POST", f"/v1/users/{name}/disconnect", json={"revoke": True})
    assert answer == {"disconnected": 1, "revoked": True}
    for auth in ({"token": old}, {"token": old, "pid": pid}):
        refused = await RawClient.connect(b.url, auth)
        told = await refused.answer()
        assert (told["refused"], told["data"]["code"]) == (True, "token_revoked")
        await refused.close()
    claims = jwt.decode(old, JWT_SECRET, ["HS256"])
    newer = jwt.encode({**claims, "iat": claims["iat"] + 5}, JWT_SECRET, "HS256")
    again = await RawClient.connect(b.url, {"token": newer})
    assert not (await again.answer())["refused"]
    await again.close()
    await client.close()


async def test_a_user_is_put_into_a_room_everywhere_and_stays_in_it_over_a_reconnect(cluster, name):
    a, b, c = cluster.nodes
    room = f"{name}/with a slash"
    path = f"/v1/rooms/{name}%2Fwith%20a%20slash"
    clients = [await let_in(b, name), await let_in(c, name)]
    assert (await call(a, "GET", path))["connections"] == 0
    added = await call(a, "PUT", f"{path}/users/{name}")
    assert added == {"room": room, "user": name, "connections": 2}
    assert await call(b, "GET", path) == {"room": room, "namespace": "/", "connections": 2}
    status, _ = await a.post({"to": {"room": room}, "title": "for the room"})
    assert status == 202
    for client in clients:
        await client.until(lambda client=client: client.notifications == ["for the room"])
    first = await clients[0].answer()
    await clients[0].lose()
    await a.post({"to": {"room": room}, "title": "missed"})
    again = await RawClient.connect(
        c.url, {"token": mint(name), "pid": first["pid"], "offset": clients[0].offset}
    )
    assert (await again.answer())["sid"] == first["sid"]
    assert again.notifications == ["missed"]
    removed = await call(b, "DELETE", f"{path}/users/{name}")
    assert removed["connections"] == 2
    assert (await call(a, "GET", path))["connections"] == 0
    for client in (again, clients[1]):
        await client.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/users/x/presence?unknown=1", 422),
        ("GET", "/v1/rooms/@user%2Fx", 422),
        ("GET", "/v1/rooms/x?namespace=nope", 422),
        ("GET", f"/v1/users/{'x' * 300}/presence", 422),
        ("PUT", "/v1/users/x/presence", 405),
        ("GET", "/v1/users/x/disconnect", 405),
        ("POST", "/v1/rooms/x/users/y", 405),
    ],
)
async def test_what_makes_no_sense_is_a_problem(cluster, method, path, status):
    got, problem = await cluster.nodes[0].request(method, path)
    assert (got, problem["status"]) == (status, status)
    assert problem["type"].startswith("urn:notify:error:")


async def test_bad_bodies_are_problems(cluster):
    for body in ({"revoke": "yes"}, {"unknown": 1}, ["revoke"]):
        status, problem = await cluster.nodes[0].request("POST", "/v1/users/x/disconnect", json=body)
        assert (status, problem["code"]) == (422, "invalid")


async def test_without_a_key_nothing_is_told(cluster):
    status, problem = await cluster.nodes[0].request("GET", "/v1/users/x/presence", key=None)
    assert (status, problem["code"]) == (401, "unauthorized")


async def test_two_nodes_with_one_name_are_two_nodes(tmp_path, name):
    async with Cluster(2, directory=tmp_path) as cluster:
        namesake = cluster.add(NOTIFY_NODE_ID="node-1")
        await namesake.start()
        clients = [await let_in(node, name) for node in cluster.nodes]
        for node in cluster.nodes:
            presence = await call(node, "GET", f"/v1/users/{name}/presence")
            assert len(presence["connections"]) == 3
        names = {connection["node"] for connection in presence["connections"]}
        assert len(names) == 3
        assert {"node-1", "node-2"} < names
        (told,) = [line for line in namesake.events if line["event"] == "node_id_taken"]
        assert (told["level"], told["wanted"], {told["taken_instead"]}) == (
            "warning",
            "node-1",
            names - {"node-1", "node-2"},
        )
        answer = await call(cluster.nodes[1], "POST", f"/v1/users/{name}/disconnect")
        assert answer["disconnected"] == 3
        for client in clients:
            await client.close()


async def test_a_killed_node_has_its_name_again(tmp_path, name):
    async with Cluster(2, directory=tmp_path) as cluster:
        a, b = cluster.nodes
        b.kill()
        await b.start()
        assert not [line for line in b.events if line["event"] == "node_id_taken"]
        client = await let_in(b, name)
        presence = await call(a, "GET", f"/v1/users/{name}/presence")
        assert [connection["node"] for connection in presence["connections"]] == [b.name]
        await client.close()
