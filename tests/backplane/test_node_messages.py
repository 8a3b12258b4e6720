"""What nodes say to each other, in this version and the one before."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from notify.backplane.node_messages import VERSION, Answer, Ask, NodeMessage, Release, decode, encode

SPOKEN: dict[type[NodeMessage], NodeMessage] = {
    Ask: Ask("1f", "node-1", "presence", {"user": "日本"}),
    Answer: Answer("1f", "node-2", {"connections": []}),
    Release: Release("socket", "/users/ada"),
}
BEFORE: dict[type[NodeMessage], dict[str, Any]] = {
    Ask: {
        "method": "notify:ask",
        "id": "1f",
        "node": "node-1",
        "question": "presence",
        "asked": {"user": "日本"},
    },
    Answer: {"method": "notify:answer", "id": "1f", "node": "node-2", "answer": {"connections": []}},
    Release: {"method": "notify:take", "socket": "socket", "namespace": "/users/ada"},
}
"""As version 1 said it: nodes of that version read these fields by these names, and pass over all others."""
WRONG: tuple[Any, ...] = (None, 7, [])


@pytest.mark.parametrize("kind", SPOKEN)
def test_what_is_written_is_read(kind):
    assert decode(json.loads(encode(SPOKEN[kind]))) == SPOKEN[kind]


@pytest.mark.parametrize("kind", SPOKEN)
def test_the_version_before_is_read(kind):
    assert decode(BEFORE[kind]) == SPOKEN[kind]


@pytest.mark.parametrize("kind", SPOKEN)
def test_the_version_before_reads_what_is_written(kind):
    assert json.loads(encode(SPOKEN[kind])) == {"v": VERSION, **BEFORE[kind]}


@pytest.mark.parametrize("version", [0, VERSION + 1, "2", None, 1.5, [], -1])
def test_a_version_that_is_not_known_is_not_understood(version):
    with pytest.raises(ValueError, match="version"):
        decode({**BEFORE[Release], "v": version})


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"method": "notify:else"},
        {"method": ["notify:ask"]},
        *(
            {**BEFORE[Ask], field: wrong}
            for field in ("id", "node", "question")
            for wrong in (*WRONG, "x" * 300)
        ),
        *({**BEFORE[Ask], "asked": wrong} for wrong in (*WRONG, "x")),
        *({**BEFORE[Answer], "answer": wrong} for wrong in (*WRONG, "x")),
        *(
            {**BEFORE[Release], field: wrong}
            for field in ("socket", "namespace")
            for wrong in (None, 7, "x" * 600)
        ),
    ],
    ids=str,
)
def test_what_is_not_whole_is_not_understood(said):
    with pytest.raises(ValueError):
        decode(said)


async def test_a_node_answers_one_of_the_version_before(cluster, unique):
    """The other node is played here, in the words of version 1."""
    asked = {
        "method": "notify:ask",
        "id": "of-old",
        "node": f"old-{unique}",
        "question": "presence",
        "asked": {"user": unique},
    }
    answers: dict[str, Any] = {}
    with cluster.valkey.client() as client, client.pubsub() as pubsub:
        pubsub.subscribe(f"notify:node:old-{unique}")
        client.publish("notify:socketio", json.dumps(asked))
        async with asyncio.timeout(30):
            while len(answers) < 3:
                message = await asyncio.to_thread(pubsub.get_message, timeout=1)
                if message and message["type"] == "message":
                    said = json.loads(message["data"])
                    assert (said["method"], said["id"]) == ("notify:answer", "of-old")
                    answers[said["node"]] = said["answer"]
    assert answers == {node.name: {"connections": []} for node in cluster.nodes}
