"""An upgrade to websocket that lands on another node than the session's: the session moves there."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.round_robin import RoundRobin
from tests.support.tokens import mint

LONG_S = 30


class Mover:
    """A client by hand: long-polling at one node, websocket at another. `packets` are all of Socket.IO's."""

    def __init__(self, session, node, sid):
        self.session = session
        self.node = node
        self.sid = sid
        self.packets = []
        self.websocket: Any = None

    @property
    def _url(self):
        return f"{self.node.url}/socket.io/?EIO=4&transport=polling&sid={self.sid}"

    async def post(self, text):
        async with self.session.post(self._url, data=text) as response:
            assert response.status == 200

    async def poll(self):
        async with self.session.get(self._url) as response:
            assert response.status == 200, await response.text()
            self._take((await response.text()).split("\x1e"))

    def _take(self, packets):
        self.packets += [packet[1:] for packet in packets if packet.startswith("4")]

    async def connect(self, auth):
        await self.post("40" + json.dumps(auth))
        while not any("session:ready" in packet for packet in self.packets):
            await self.poll()

    async def probe(self, node):
        """The websocket, up to the point at which nothing is left but to say that it takes over."""
        self.websocket = await open_websocket(node, self.sid)
        await self.websocket.send("2probe")
        assert await self.websocket.recv() == "3probe"

    async def upgrade(self, node):
        await self.probe(node)
        await self.websocket.send("5")

    async def until(self, found):
        async with asyncio.timeout(LONG_S):
            while not (result := found()):
                message = await self.websocket.recv()
                if message == "2":
                    await self.websocket.send("3")
                self._take([message])
            return result

    def titles(self):
        events = [json.loads(packet[1:]) for packet in self.packets if packet.startswith("2[")]
        return [event[1]["title"] for event in events if event[0] == "notification"]

    def acknowledgement(self, number):
        head = f"3{number}["
        return next(
            (json.loads(packet[len(head) - 1 :]) for packet in self.packets if packet.startswith(head)), None
        )

    def answer(self):
        return json.loads(next(packet for packet in self.packets if packet.startswith("0"))[1:])


@asynccontextmanager
async def mover(node, auth):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(LONG_S)) as session:
        async with session.get(node.url + "/socket.io/?EIO=4&transport=polling") as response:
            sid = (await response.text()).split('"sid":"')[1].split('"')[0]
        client = Mover(session, node, sid)
        await client.connect(auth)
        try:
            yield client
        finally:
            if client.websocket is not None:
                await client.websocket.close()


async def moved(node):
    return await node.metric("notify_sessions_moved_total", outcome="moved")


async def test_stock_clients_upgrade_on_whichever_node_under_load(cluster, unique):
    *_, c = cluster.nodes
    upgrades = [await node.metric("notify_upgrades_total") for node in cluster.nodes]
    posted = 0
    enough = asyncio.Event()

    async def post():
        nonlocal posted
        while not enough.is_set():
            to = {"user": unique} if posted % 2 else {"room": unique}
            ephemeral = {"ttl": 0} if posted % 3 == 0 else {}
            assert (await c.post({"to": to, "title": f"{posted}", **ephemeral}))[0] == 202
            posted += 1

    def titles(client):
        return [int(args[0]["title"]) for name, args in client.events if name == "notification"]

    async with (
        RoundRobin(lambda: [node.port for node in cluster.nodes]) as front,
        JavaScript() as javascript,
        asyncio.TaskGroup() as group,
    ):
        load = group.create_task(post())
        auth = {"token": mint(unique, join=[unique])}
        clients = [
            await javascript.connect(front.url, oldest=number % 2 == 0, auth=auth) for number in range(6)
        ]
        for client in clients:
            await client.wait("upgrade", timeout_s=LONG_S)
            await client.wait_event("notification", 60, timeout_s=LONG_S)
        enough.set()
        await load
        for client in clients:
            await client.wait_event("notification", posted - titles(client)[0], timeout_s=LONG_S)
            assert titles(client) == list(range(titles(client)[0], posted))
            assert (await client.state())["transport"] == "websocket"
            assert not client.said("disconnect")
    after = [await node.metric("notify_upgrades_total") for node in cluster.nodes]
    assert sum(after) - sum(upgrades) == len(clients)


async def test_nothing_is_lost_doubled_or_reordered_by_a_move_under_load(cluster, unique):
    a, b, c = cluster.nodes
    before = await moved(b)
    async with mover(a, {"token": mint(unique, join=[unique])}) as client:

        async def post(numbers):
            for number in numbers:
                to = {"user": unique} if number % 2 else {"room": unique}
                ephemeral = {"ttl": 0} if number % 3 == 0 else {}
                assert (await c.post({"to": to, "title": f"{number}", **ephemeral}))[0] == 202

        await client.probe(b)
        await post(range(40))  # which no poll fetches any more
        load = asyncio.create_task(post(range(40, 120)))
        await client.websocket.send("5")
        await client.until(lambda: "119" in client.titles())
        await load
        assert client.titles() == [str(number) for number in range(120)]
    assert await moved(b) == before + 1


async def test_a_moved_session_is_that_of_its_new_node_alone(cluster, unique):
    a, b, c = cluster.nodes
    async with mover(a, {"token": mint(unique, rooms=["*"])}) as client:
        await client.post(f'421["room:join",{json.dumps({"room": unique})}]')
        await client.upgrade(b)
        assert (await client.until(lambda: client.acknowledgement(1)))[0]["ok"]
        status, presence = await c.request("GET", f"/v1/users/{unique}/presence")
        assert status == 200
        (connection,) = presence["connections"]
        answer = client.answer()
        assert (connection["sid"], connection["node"], connection["transport"]) == (
            answer["sid"],
            "node-2",
            "websocket",
        )
        async with client.session.get(client._url) as response:
            assert (response.status, (await response.json())["message"]) == (400, "Session ID unknown")
        await client.websocket.send(f'422["room:join",{json.dumps({"room": unique + "-2"})}]')
        assert (await client.until(lambda: client.acknowledgement(2)))[0]["ok"]
        await c.post({"to": {"room": unique}, "title": "to the room"})
        await client.until(lambda: client.titles() == ["to the room"])
        offset = json.loads(client.packets[-1][1:])[-1]
        client.websocket.transport.abort()
        await c.post({"to": {"room": unique + "-2"}, "title": "while away"})
        back = await RawClient.connect(
            c.url, {"token": mint(unique, rooms=["*"]), "pid": answer["pid"], "offset": offset}
        )
        assert (await back.answer())["sid"] == answer["sid"]
        assert back.notifications == ["while away"]
        await back.close()


async def test_a_user_who_is_sent_away_after_a_move_is_told(cluster, unique):
    a, b, c = cluster.nodes
    async with mover(a, {"token": mint(unique)}) as client:
        await client.upgrade(b)
        await client.websocket.send('421["room:leave",{"room":"x"}]')  # before the session is here
        assert (await client.until(lambda: client.acknowledgement(1)))[0] == {
            "ok": True,
            "room": "x",
            "left": False,
        }
        assert await c.request("POST", f"/v1/users/{unique}/disconnect", json={}) == (
            200,
            {"disconnected": 1, "revoked": False},
        )
        await client.until(lambda: "1" in client.packets)


class Backend:
    """Another application on python-socketio's channel, which waits for acknowledgements."""

    def __init__(self, client):
        self._client = client
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe("notify:socketio")

    def ask(self, sid, number):
        """Emit an event to a client, to be acknowledged under this number."""
        message = {
            "method": "emit",
            "event": "question",
            "data": [number],
            "namespace": "/",
            "room": sid,
            "callback": [sid, "/", number],
            "host_id": "backend",
        }
        self._client.publish("notify:socketio", json.dumps(message))

    async def answers(self, count):
        """The arguments of so many acknowledgements, by number."""
        found: dict[int, list[Any]] = {}
        async with asyncio.timeout(LONG_S):
            while len(found) < count:
                got = await asyncio.to_thread(self._pubsub.get_message, timeout=0.2)
                message = json.loads(got["data"]) if got is not None else {}
                if message.get("method") == "callback":
                    assert message["host_id"] == "backend"
                    found[message["id"]] = message["args"]
        return found


def question(client, number):
    """The number by which a client acknowledges a question, once that has come."""
    packet = next((packet for packet in client.packets if f'["question",{number}]' in packet), None)
    return packet and packet[1 : packet.index("[")]


async def test_acknowledgements_under_way_arrive_in_both_directions(cluster, unique):
    a, b, _ = cluster.nodes
    with cluster.valkey.client() as redis:
        backend = Backend(redis)
        async with mover(a, {"token": mint(unique)}) as client:
            sid = client.answer()["sid"]
            backend.ask(sid, 11)
            while question(client, 11) is None:
                await client.poll()
            await client.probe(b)
            # A list waits until what is queued has been taken, which no poll will do any more.
            await a.post({"to": {"user": unique}, "title": "queued"})
            await client.post('427["inbox:list",{}]\x1e428["inbox:list",{}]')
            backend.ask(sid, 12)
            await client.websocket.send("5")
            await client.websocket.send(f'43{question(client, 11)}["before"]')
            for ack in (7, 8):
                assert (await client.until(lambda ack=ack: client.acknowledgement(ack)))[0]["ok"]
            assert client.titles() == ["queued"]
            backend.ask(sid, 13)
            for number in (12, 13):
                ack_id = await client.until(lambda number=number: question(client, number))
                await client.websocket.send(f'43{ack_id}["{number}"]')
            assert await backend.answers(3) == {11: ["before"], 12: ["12"], 13: ["13"]}
        backend._pubsub.close()


async def test_a_websocket_that_gives_up_leaves_the_client_on_long_polling(cluster, unique):
    a, b, _ = cluster.nodes
    async with mover(a, {"token": mint(unique)}) as client:
        await client.probe(b)
        await client.websocket.close()
        await a.post({"to": {"user": unique}, "title": "still here"})
        while "still here" not in client.titles():
            await client.poll()
        await client.upgrade(b)  # and may try again
        await a.post({"to": {"user": unique}, "title": "now there"})
        await client.until(lambda: client.titles() == ["still here", "now there"])


async def test_a_poll_right_behind_the_upgrade_is_refused_as_by_one_node(cluster, unique):
    a, b, c = cluster.nodes
    async with mover(a, {"token": mint(unique)}) as client, mover(a, {"token": mint(unique)}) as warm:
        await warm.upgrade(b)  # the links are there: the word and the poll are equally long on their way
        warm.node = c
        async with warm.session.get(warm._url) as response:
            assert response.status == 400
        client.websocket = await open_websocket(b, client.sid)
        await client.websocket.send("2probe")
        await client.websocket.send("5")
        client.node = c
        async with client.session.get(client._url) as response:
            assert (response.status, (await response.json())["message"]) == (400, "Session ID unknown")
        await client.websocket.send('421["room:leave",{"room":"x"}]')
        assert await client.websocket.recv() == "3probe"
        assert (await client.websocket.recv()).startswith("431[")  # and no ping ahead of it


async def test_a_second_websocket_is_closed_on_whichever_node_and_disturbs_nobody(cluster, unique):
    a, b, c = cluster.nodes
    async with mover(a, {"token": mint(unique)}) as client:
        await client.probe(b)
        for node in cluster.nodes:
            await one_too_many(node, client.sid)
        await client.websocket.send("5")
        for node in cluster.nodes:
            await one_too_many(node, client.sid)
        await client.websocket.send('421["room:leave",{"room":"x"}]')
        await client.until(lambda: client.acknowledgement(1))
        for node in cluster.nodes:
            await one_too_many(node, client.sid)
        await c.post({"to": {"user": unique}, "title": "here"})
        await client.until(lambda: client.titles() == ["here"])
    async with mover(a, {"token": mint(unique)}) as at_home:
        await at_home.upgrade(a)
        for node in cluster.nodes:
            await one_too_many(node, at_home.sid)


async def test_a_websocket_for_a_session_that_there_is_not_is_refused_on_each_node_alike(cluster):
    url = cluster.nodes[0].url + "/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        sid = (await response.text()).split('"sid":"')[1].split('"')[0]
    for node in cluster.nodes:
        for wrong in (sid[:4] + "x" * (len(sid) - 4), "zzzz" + sid[4:]):
            with pytest.raises(InvalidStatus) as refused:
                await open_websocket(node, wrong)
            assert refused.value.response.status_code == 400


async def open_websocket(node, sid):
    url = node.url.replace("http", "ws", 1)
    return await connect(
        f"{url}/socket.io/?EIO=4&transport=websocket&sid={sid}", compression=None, max_size=None
    )


async def one_too_many(node, sid):
    """A websocket that is accepted, and closed."""
    websocket = await open_websocket(node, sid)
    with pytest.raises(ConnectionClosed):
        await websocket.recv()
    assert websocket.close_code == 1000


async def test_a_frozen_node_costs_a_recovery_at_most(cluster, unique):
    a, b, _ = cluster.nodes
    async with mover(a, {"token": mint(unique)}) as client, mover(a, {"token": mint(unique)}) as other:
        await client.probe(b)
        a.signal(signal.SIGSTOP)
        try:
            with pytest.raises(InvalidStatus) as refused:
                await other.probe(b)
            assert refused.value.response.status_code == 400
            await client.websocket.send("5")
            with pytest.raises(ConnectionClosed):
                await client.until(lambda: False)
            await b.post({"to": {"user": unique}, "title": "meanwhile"})
            back = await RawClient.connect(b.url, {"token": mint(unique), "pid": client.answer()["pid"]})
            assert (await back.answer())["sid"] == client.answer()["sid"]
            assert back.notifications == ["meanwhile"]
            await back.close()
        finally:
            a.signal(signal.SIGCONT)
    assert await b.metric("notify_sessions_moved_total", outcome="lost") >= 1
