"""Questions to all nodes at once: each answers for its own sockets."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from notify.domain.errors import NotifyError, Unavailable

ASK, ANSWER = "notify:ask", "notify:answer"
PATIENCE_S = 1.0
"""A node that has died is still counted among the living for a while; it is not waited for longer."""

Answerer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

log = structlog.get_logger(__name__)


class Living(Protocol):
    """Who is there to be asked."""

    async def alive(self) -> list[str]:
        """The nodes that live. Raises Unavailable."""


class Publish(Protocol):
    """Publishes on a Redis channel. Raises Unavailable."""

    def __call__(self, topic: str, message: bytes) -> Awaitable[Any]: ...


class Cluster:
    """Asks every node, this one included, and gathers what they answer.

    Nothing of it is kept anywhere, so a dead node leaves nothing behind that could be wrong.
    """

    def __init__(
        self,
        *,
        node_id: str,
        registry: Living,
        publish: Publish,
        all_topic: str,
        node_topic: Callable[[str], str],
    ) -> None:
        self._node_id = node_id
        self._registry = registry
        self._publish = publish
        self._all_topic = all_topic
        self._node_topic = node_topic
        self._answerers: dict[str, Answerer] = {}
        self._waiting: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, question: str, answerer: Answerer) -> None:
        """Have a question answered here by `answerer`, whose result goes into JSON."""
        self._answerers[question] = answerer

    async def ask(self, question: str, **asked: Any) -> dict[str, Mapping[str, Any]]:
        """Node to its answer, from every node that lives. Raises Unavailable.

        A node that does not answer within a second is left out: it is dead, or as good as that. But when this
        node does not even hear itself it is deaf, and would take the silence of all for an answer.
        """
        expected = set(await self._registry.alive()) | {self._node_id}
        number = secrets.token_hex(8)
        answers = self._waiting[number] = {}
        changed = self._changed[number] = asyncio.Event()
        message = {"method": ASK, "id": number, "node": self._node_id, "question": question, "asked": asked}
        try:
            await self._publish(self._all_topic, json.dumps(message).encode())
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not expected <= answers.keys():
                        changed.clear()
                        await changed.wait()
            except TimeoutError:
                log.warning("nodes_silent", question=question, nodes=sorted(expected - answers.keys()))
        finally:
            del self._waiting[number], self._changed[number]
        if self._node_id not in answers:
            raise Unavailable("This node does not hear the others", retry_after_s=1)
        return answers

    def heard(self, message: Mapping[str, Any]) -> None:
        """A question or an answer from a node. What is neither is passed over."""
        if message.get("method") == ANSWER:
            number, node, answer = message.get("id"), message.get("node"), message.get("answer")
            waiting = self._waiting.get(number) if isinstance(number, str) else None
            if waiting is not None and isinstance(node, str) and isinstance(answer, dict):
                waiting[node] = answer
                self._changed[str(number)].set()
        elif message.get("method") == ASK:
            answerer = self._answerers.get(str(message.get("question")))
            node, asked = message.get("node"), message.get("asked")
            if answerer is not None and isinstance(node, str) and isinstance(asked, dict):
                task = asyncio.ensure_future(self._reply(answerer, node, str(message.get("id")), asked))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _reply(self, answerer: Answerer, node: str, number: str, asked: Mapping[str, Any]) -> None:
        try:
            answer = await answerer(asked)
            reply = {"method": ANSWER, "id": number, "node": self._node_id, "answer": answer}
            await self._publish(self._node_topic(node), json.dumps(reply).encode())
        except NotifyError as error:
            log.warning("question_not_answered", reason=error.detail)
        except (LookupError, TypeError, ValueError):
            log.warning("question_not_understood", exc_info=True)

    async def stop(self) -> None:
        """End the answers that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
