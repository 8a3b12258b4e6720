"""Any node takes any request: three nodes behind a balancer that sends every request to the next one."""

from __future__ import annotations

import asyncio
import json
import signal
from io import BytesIO

import aiohttp
import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.cluster import Cluster
from tests.support.round_robin import RoundRobin
from tests.support.tokens import mint

TEXT = {"Content-Type": "text/plain;charset=UTF-8"}


def balancer(cluster: Cluster) -> RoundRobin:
    return RoundRobin(lambda: [node.port for node in cluster.nodes if node.running])


async def connect(session: aiohttp.ClientSession, url: str, sid: str, user: str) -> None:
    """CONNECT, and poll until all that comes at once has come."""
    async with session.post(polling(url, sid), data="40" + json.dumps({"token": mint(user)})) as response:
        assert (response.status, await response.text()) == (200, "ok")
        assert response.headers["Cache-Control"] == "no-store"
    text = ""
    while "session:ready" not in text:
        async with session.get(polling(url, sid)) as response:
            assert response.status == 200
            text = await response.text()


async def begin(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url + "/socket.io/?EIO=4&transport=polling") as response:
        text = await response.text()
    return text.split('"sid":"')[1].split('"')[0]


def polling(url: str, sid: str) -> str:
    return f"{url}/socket.io/?EIO=4&transport=polling&sid={sid}"


@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"], ["websocket"]])
@pytest.mark.parametrize("oldest", [False, True])
async def test_stock_clients_need_no_affinity(cluster, unique, transports, oldest):
    a, _, c = cluster.nodes
    async with balancer(cluster) as front, JavaScript() as javascript:
        clients = [
            await javascript.connect(
                front.url, oldest=oldest, auth={"token": mint(unique)}, transports=transports
            )
            for _ in range(3)
        ]
        for client in clients:
            await client.wait("connect")
        for number in range(60):
            await (a, c)[number % 2].post({"to": {"user": unique}, "title": f"{number}"})
        for client in clients:
            await client.wait_event("notification", 60)
            titles = [args[0]["title"] for name, args in client.events if name == "notification"]
            assert titles == [str(number) for number in range(60)]
            assert not client.said("connect_error")
            assert not client.said("disconnect")
            assert (await client.state())["transport"] == transports[-1]


async def test_a_request_elsewhere_is_answered_as_at_home(cluster, unique):
    a, b, _ = cluster.nodes
    async with aiohttp.ClientSession() as session:
        sid = await begin(session, a.url)
        await connect(session, b.url, sid, unique)
        for url in (a.url, b.url):
            async with session.post(
                polling(url, sid), data=BytesIO(b"x" * 2_000_000), headers=TEXT
            ) as response:
                assert (response.status, await response.json()) == (
                    413,
                    {"code": 3, "message": "Payload too large"},
                )
            async with session.put(polling(url, sid)) as response:
                assert response.status == 400
        async with session.post(polling(b.url, sid), data="1") as response:
            assert response.status == 200
        async with session.get(polling(b.url, sid)) as response:
            assert response.status in {200, 400}  # what there was to say to it, as at home
        for url in (a.url, b.url):
            async with session.get(polling(url, sid)) as response:
                assert (response.status, (await response.json())["message"]) == (400, "Session ID unknown")


async def test_a_client_that_gives_up_its_poll_elsewhere_loses_its_session(cluster, unique):
    a, b, _ = cluster.nodes
    async with aiohttp.ClientSession() as session:
        sid = await begin(session, a.url)
        await connect(session, b.url, sid, unique)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), session.get(polling(b.url, sid)):
                pass
        async with asyncio.timeout(30):
            while True:
                async with session.post(polling(a.url, sid), data="3") as response:
                    if response.status == 400:
                        break
                await asyncio.sleep(0.05)


async def test_a_node_that_is_gone_is_answered_for_at_once(tmp_path, unique):
    async with Cluster(3, directory=tmp_path) as cluster, aiohttp.ClientSession() as session:
        a, b, _ = cluster.nodes
        sid = await begin(session, a.url)
        await connect(session, b.url, sid, unique)
        waiting = asyncio.create_task(session.get(polling(b.url, sid)).__aenter__())
        await asyncio.sleep(0.3)
        a.kill()
        for answer in (await waiting, await session.get(polling(b.url, sid))):
            assert (answer.status, (await answer.json())["message"]) == (400, "Session ID unknown")
        assert await b.metric('notify_passed_on_total{outcome="unreachable",what="poll"}') >= 1


async def test_a_node_at_any_free_port_is_reached(tmp_path, unique):
    async with Cluster(1, directory=tmp_path) as cluster, aiohttp.ClientSession() as session:
        a, b = cluster.nodes[0], cluster.add(NOTIFY_INTERNAL_PORT="0")
        b.spawn()
        async with asyncio.timeout(30):
            while not any(line["event"] == "ready" for line in b.events):
                await asyncio.sleep(0.03)
        (internal,) = [line["port"] for line in b.events if line.get("what") == "api"]
        assert internal > 0
        sid = await begin(session, b.url)
        await connect(session, a.url, sid, unique)
        assert await a.metric("notify_links", made="here") == 1


async def test_a_frozen_node_is_given_up(tmp_path):
    async with Cluster(2, directory=tmp_path) as cluster, aiohttp.ClientSession() as session:
        a, b = cluster.nodes
        sid = await begin(session, a.url)
        async with session.post(polling(b.url, sid), data="40") as response:
            assert response.status == 200
        a.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(30), session.get(polling(b.url, sid)) as response:
                assert (response.status, (await response.json())["code"]) == (400, 1)
        finally:
            a.signal(signal.SIGCONT)


async def test_nobody_gets_in_without_the_secret(cluster):
    node = cluster.nodes[0]
    async with aiohttp.ClientSession() as session:
        for headers in (
            {},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer " + "x" * 43},
            {"Authorization": "x"},
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(node.internal_url + "/cluster/link?mark=abcd", headers=headers)
            assert refused.value.status == 401
            async with session.get(node.internal_url + "/cluster/link", headers=headers) as response:
                assert (response.status, await response.read()) == (401, b"")


async def test_an_unknown_session_says_nothing_of_where_it_might_be(cluster):
    a, b, _ = cluster.nodes
    async with aiohttp.ClientSession() as session:
        sid = await begin(session, a.url)
        answers = set()
        for wrong in (sid[:4] + "x" * (len(sid) - 4), "zzzz" + sid[4:], "é" * 24, "x" * 300, "x"):
            async with session.get(polling(b.url, wrong)) as response:
                answers.add((response.status, await response.text()))
        assert answers == {(400, '{"code":1,"message":"Session ID unknown"}')}


async def test_clients_come_back_after_a_kill_and_a_drain(tmp_path, unique):
    async with (
        Cluster(3, directory=tmp_path, environ={"NOTIFY_DRAIN_DELAY": "0.2"}) as cluster,
        balancer(cluster) as front,
        JavaScript() as javascript,
    ):
        clients = [
            await javascript.connect(
                front.url, auth={"token": mint(unique)}, transports=["polling"], reconnectionDelay=100
            )
            for _ in range(6)
        ]
        for client in clients:
            await client.wait("connect")
        sent = 0

        async def post(count: int) -> None:
            nonlocal sent
            node = next(node for node in cluster.nodes if node.running)
            for _ in range(count):
                await node.post({"to": {"user": unique}, "title": f"{sent}"})
                sent += 1

        await post(20)
        cluster.nodes[2].kill()
        await post(20)
        await cluster.nodes[2].start()
        await cluster.nodes[1].restart()
        await post(20)
        for client in clients:
            await client.wait_event("notification", sent)
            titles = [args[0]["title"] for name, args in client.events if name == "notification"]
            assert titles == [str(number) for number in range(sent)]
            assert all(line["recovered"] for line in client.said("connect")[1:])
