"""Questions to all nodes: who is heard, who is left out, what is passed over."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from notify.backplane import cluster as module
from notify.backplane.cluster import Cluster
from notify.backplane.node_messages import decode
from notify.domain.errors import NotifyError, Unavailable
from notify.service.stats import ServiceStats
from notify.service.users import Users
from tests.support.waiting import until

ALL = "all"


def hear(node: Cluster, said: dict[str, Any]) -> None:
    """What the manager does with a message between nodes."""
    with contextlib.suppress(ValueError):
        node.heard(decode(said))


class Air:
    """Carries what is published to the nodes that are on it, as Redis would."""

    def __init__(self) -> None:
        self.nodes: dict[str, Cluster] = {}
        self.listed: set[str] = set()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.deaf: set[str] = set()
        self.error: NotifyError | None = None

    async def alive(self) -> list[str]:
        if self.error is not None:
            raise self.error
        return list(self.listed)

    async def publish(self, topic: str, message: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((topic, json.loads(message)))
        for name, node in self.nodes.items():
            if topic in (ALL, name) and name not in self.deaf:
                hear(node, json.loads(message))

    def add(self, name: str) -> Cluster:
        self.listed.add(name)
        node = self.nodes[name] = Cluster(
            node_id=lambda: name, registry=self, publish=self.publish, all_topic=ALL, node_topic=str
        )
        return node


def saying(answer: Any) -> Any:
    async def answerer(asked: Mapping[str, Any]) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return answerer


@asynccontextmanager
async def nodes(*names: str) -> AsyncIterator[Air]:
    air = Air()
    for name in names:
        air.add(name).answer("who", saying({"name": name}))
    try:
        yield air
    finally:
        for node in air.nodes.values():
            await node.stop()


async def test_every_node_answers_this_one_too():
    async with nodes("a", "b", "c") as air:
        assert await air.nodes["b"].ask("who") == {name: {"name": name} for name in "abc"}


async def test_what_is_asked_reaches_the_answerer_and_questions_are_kept_apart():
    async with nodes("a", "b") as air:

        async def echo(asked: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"heard": asked["text"]}

        for node in air.nodes.values():
            node.answer("echo", echo)
        texts = [f"日本 {number}" for number in range(50)]
        found = await asyncio.gather(*(air.nodes["a"].ask("echo", text=text) for text in texts))
        assert found == [{"a": {"heard": text}, "b": {"heard": text}} for text in texts]


async def test_a_silent_node_is_left_out_when_patience_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    async with nodes("a", "b") as air:
        air.listed.add("dead")
        with structlog.testing.capture_logs() as logs:
            assert (await air.nodes["a"].ask("who")).keys() == {"a", "b"}
        assert [line["nodes"] for line in logs if line["event"] == "nodes_silent"] == [["dead"]]


async def test_nobody_waits_when_all_have_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE_S", 3600)
    async with nodes("a", "b") as air:
        async with asyncio.timeout(30):
            assert len(await air.nodes["a"].ask("who")) == 2
        air.listed.discard("a")  # its own entry is late: it counts itself among the living all the same
        async with asyncio.timeout(30):
            assert "a" in await air.nodes["a"].ask("who")


async def test_a_node_that_does_not_hear_itself_does_not_take_silence_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    async with nodes("a", "b") as air:
        air.deaf.add("a")
        with pytest.raises(Unavailable):
            await air.nodes["a"].ask("who")


async def test_without_redis_there_is_no_answer():
    async with nodes("a") as air:
        air.error = Unavailable("Redis is away")
        with pytest.raises(Unavailable):
            await air.nodes["a"].ask("who")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": None},
        {"id": 7, "node": "x", "answer": {}},
        {"id": ["list"], "node": "x", "answer": {}},
        {"id": "unknown", "node": "x", "answer": {}},
        {"id": "ours", "node": "x"},
        {"id": "ours", "node": "x", "answer": "text"},
        {"id": "ours", "node": "x", "answer": [1]},
        {"id": "ours", "node": None, "answer": {}},
        {"id": "ours", "node": 7, "answer": {}},
        {"id": "ours", "answer": {}},
    ],
    ids=str,
)
async def test_a_malformed_answer_is_passed_over(answer: dict[str, Any]):
    async with nodes("a", "b") as air:
        asker = air.nodes["a"]

        async def meddle(asked: Mapping[str, Any]) -> Mapping[str, Any]:
            number = air.sent[0][1]["id"]
            hear(
                asker,
                {
                    "method": "notify:answer",
                    **answer,
                    **({"id": number} if answer.get("id") == "ours" else {}),
                },
            )
            return {"good": True}

        for node in air.nodes.values():
            node.answer("meddled", meddle)
        assert await asker.ask("meddled") == {"a": {"good": True}, "b": {"good": True}}


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"method": "notify:else"},
        {"method": "notify:ask"},
        {"method": "notify:ask", "question": "unheard of", "node": "a", "asked": {}, "id": "1"},
        {"method": "notify:ask", "question": ["who"], "node": "a", "asked": {}, "id": "1"},
        {"method": "notify:ask", "question": "who", "node": None, "asked": {}, "id": "1"},
        {"method": "notify:ask", "question": "who", "node": "a", "asked": "x", "id": "1"},
    ],
    ids=str,
)
async def test_a_malformed_question_is_passed_over(ask: dict[str, Any]):
    async with nodes("a", "b") as air:
        hear(air.nodes["b"], ask)
        assert not air.nodes["b"]._tasks
        assert len(await air.nodes["a"].ask("who")) == 2


@pytest.mark.parametrize(
    "fault", [KeyError("user"), TypeError("?"), ValueError("?"), IndexError(), Unavailable("Redis is away")]
)
async def test_a_node_that_cannot_answer_is_silent(monkeypatch: pytest.MonkeyPatch, fault: Exception):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    async with nodes("a", "b") as air:
        air.nodes["b"].answer("who", saying(fault))
        assert (await air.nodes["a"].ask("who")).keys() == {"a"}
        air.nodes["b"].answer("who", saying({"fine": "again"}))
        assert (await air.nodes["a"].ask("who")).keys() == {"a", "b"}


async def test_an_answer_that_comes_too_late_is_nobodys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    async with nodes("a", "b") as air:
        go = asyncio.Event()

        async def slow(asked: Mapping[str, Any]) -> Mapping[str, Any]:
            await go.wait()
            return {}

        air.nodes["b"].answer("who", slow)
        first = await air.nodes["a"].ask("who")
        go.set()
        await until(lambda: not air.nodes["b"]._tasks)
        assert first.keys() == {"a"}


async def test_stop_ends_the_answers_under_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    async with nodes("a", "b") as air:
        ended = asyncio.Event()

        async def never(asked: Mapping[str, Any]) -> Mapping[str, Any]:
            try:
                await asyncio.get_running_loop().create_future()
                return {}
            finally:
                ended.set()

        air.nodes["b"].answer("who", never)
        await air.nodes["a"].ask("who")
        await air.nodes["b"].stop()
        assert ended.is_set()


class NoSessions:
    """Knows of nobody."""

    async def last_seen(self, user: str) -> int | None:
        return 7


async def test_what_a_node_of_another_version_says_does_not_keep_the_others_from_being_heard():
    good = {"sid": "s", "namespace": "/", "transport": "websocket", "since": 1}
    said = {
        "a": {"connections": [good], "count": 2},
        "b": {
            "connections": [{**good, "new": True}, {"sid": "x"}, None, {**good, "since": "x"}],
            "count": "x",
        },
        "c": {"connections": None},
        "d": {},
    }
    async with nodes(*said) as air:
        for name, answer in said.items():
            air.nodes[name].answer("presence", saying(answer))
            air.nodes[name].answer("room_size", saying(answer))
        people = Users(
            cluster=air.nodes["a"],
            sessions=NoSessions(),  # type: ignore[arg-type]
            erasure=NoSessions(),  # type: ignore[arg-type]
            stats=ServiceStats(),
        )
        presence = await people.presence("42")
        assert [connection.node for connection in presence.connections] == ["a", "b"]
        assert await people.room_size("r", "/") == 2
