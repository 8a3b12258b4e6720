"""What nodes say to each other: a type for each message, a version for all, one place that writes and reads.

A message is one JSON object on a topic under the prefix: `method` names its type and `v` its version. A node
reads its own version and the one before, and writes what the version before can read, so that nodes of two
versions work together while they are rolled.

Version 1 said the same without `v`. Version 2 says `v`. What a later version says is not understood, and says
so by its `v`, instead of being taken for something else.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

VERSION = 2
PREFIX = "notify:"
"""What `method` begins with, which python-socketio's own messages do not."""
MAX_NAME = 256
"""Characters that names, numbers and questions have at most."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to every node that lives: each answers it for its own sockets."""

    id: str
    node: str
    """Who asks, and is to be answered."""
    question: str
    asked: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A node's answer to the question with that id."""

    id: str
    node: str
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """A client has come back elsewhere: what is left of its old connection here is to be dropped."""

    socket: str
    namespace: str


NodeMessage = Ask | Answer | Release


class Publish(Protocol):
    """Publishes on a pub/sub channel of Redis. Raises Unavailable."""

    def __call__(self, topic: str, message: bytes) -> Awaitable[object]: ...


def encode(message: NodeMessage) -> bytes:
    """The message as it travels. Raises TypeError or ValueError for what JSON does not have."""
    said: dict[str, Any]
    match message:
        case Ask(number, node, question, asked):
            said = {"method": "notify:ask", "id": number, "node": node, "question": question, "asked": asked}
        case Answer(number, node, answer):
            said = {"method": "notify:answer", "id": number, "node": node, "answer": answer}
        case Release(socket, namespace):
            said = {"method": "notify:take", "socket": socket, "namespace": namespace}
    return json.dumps({"v": VERSION, **said}).encode()


def decode(said: Mapping[str, Any]) -> NodeMessage:
    """The inverse of `encode`, once the JSON has been read. Raises ValueError for what is not understood."""
    version = said.get("v", 1)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(f"a message of version {version!r}")
    match said.get("method"):
        case "notify:ask":
            return Ask(
                _name(said, "id"), _name(said, "node"), _name(said, "question"), _object(said, "asked")
            )
        case "notify:answer":
            return Answer(_name(said, "id"), _name(said, "node"), _object(said, "answer"))
        case "notify:take":
            return Release(_name(said, "socket"), _name(said, "namespace", most=2 * MAX_NAME))
        case unknown:
            raise ValueError(f"no message between nodes: {unknown!r}")


def _name(said: Mapping[str, Any], field: str, *, most: int = MAX_NAME) -> str:
    found = said.get(field)
    if not isinstance(found, str) or len(found) > most:
        raise ValueError(f"{field!r} is not a name")
    return found


def _object(said: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = said.get(field)
    if not isinstance(found, dict):
        raise ValueError(f"{field!r} is not an object")  # noqa: TRY004 - a fault of the message, not of ours
    return found
