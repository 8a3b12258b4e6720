"""Questions to all nodes, and who there is to be asked."""

from __future__ import annotations

import asyncio
import json

import pytest

from notify.backplane import cluster as cluster_module
from notify.backplane.cluster import ANSWER, ASK, Cluster
from notify.backplane.registry import Registry
from notify.store import heartbeats as heartbeats_module
from notify.store.heartbeats import Heartbeats
from notify.store.keys import Keys


class Town:
    """Nodes that hear each other without Redis in between."""

    def __init__(self, *names: str, alive: tuple[str, ...] | None = None) -> None:
        self.listed = list(alive or names)
        self.nodes = {
            name: Cluster(
                node_id=name,
                registry=self,
                publish=self.publish,
                all_topic="all",
                node_topic=lambda node: f"node:{node}",
            )
            for name in names
        }

    async def alive(self) -> list[str]:
        return self.listed

    async def publish(self, topic: str, message: bytes) -> None:
        for name, node in self.nodes.items():
            if topic in ("all", f"node:{name}"):
                node.heard(json.loads(message))


def answering(count: int):
    async def answer(asked):
        return {"count": count, "echo": asked.get("room")}

    return answer


async def test_every_node_answers_for_itself():
    town = Town("a", "b", "c")
    for number, node in enumerate(town.nodes.values()):
        node.answer("size", answering(number))
    answers = await town.nodes["a"].ask("size", room="lobby")
    assert {name: answer["count"] for name, answer in answers.items()} == {"a": 0, "b": 1, "c": 2}
    assert {answer["echo"] for answer in answers.values()} == {"lobby"}


async def test_a_silent_node_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "PATIENCE_S", 0.1)
    town = Town("a", "b", alive=("a", "b", "dead"))
    for node in town.nodes.values():
        node.answer("size", answering(1))
    assert set(await town.nodes["a"].ask("size")) == {"a", "b"}


async def test_an_answer_that_fails_is_no_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "PATIENCE_S", 0.1)
    town = Town("a", "b")
    town.nodes["a"].answer("size", answering(1))

    async def fails(asked):
        raise KeyError("room")

    town.nodes["b"].answer("size", fails)
    assert set(await town.nodes["a"].ask("size")) == {"a"}


async def test_rubbish_is_passed_over():
    town = Town("a")
    node = town.nodes["a"]
    node.answer("size", answering(1))
    for message in (
        {"method": ANSWER},
        {"method": ANSWER, "id": 7, "node": "b", "answer": {}},
        {"method": ANSWER, "id": "nobody-asked", "node": "b", "answer": {"count": 1}},
        {"method": ASK},
        {"method": ASK, "id": "1", "node": 7, "question": "size", "asked": {}},
        {"method": ASK, "id": "1", "node": "b", "question": [], "asked": {}},
        {"method": ASK, "id": "1", "node": "b", "question": "size", "asked": []},
        {"method": "something else"},
    ):
        node.heard(message)
    assert set(await node.ask("size")) == {"a"}
    await node.stop()


async def test_a_node_that_stops_is_gone_and_one_that_dies_runs_out(side, valkey, monkeypatch):
    monkeypatch.setattr(heartbeats_module, "NODE_TTL_S", 1)
    async with side(valkey.url, "a") as a:
        heartbeats = Heartbeats(a.redis, Keys())
        one, two = (Registry(node_id=name, heartbeats=heartbeats) for name in ("one", "two"))
        await one.start()
        await two.start()
        assert set(await one.alive()) == {"one", "two"}
        await two.stop()
        assert await one.alive() == ["one"]
        await heartbeats.beat("dead")
        assert "dead" in await one.alive()
        alive = ["dead"]

        async def look():
            nonlocal alive
            while "dead" in alive:
                await asyncio.sleep(0.1)
                alive = await one.alive()

        async with asyncio.timeout(10):
            await look()
        await one.stop()
        assert await heartbeats.alive() == []
