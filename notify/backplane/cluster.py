"""Questions to all nodes at once: each answers for its own sockets."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from notify.backplane.node_messages import Answer, Ask, NodeMessage, Publish, encode
from notify.domain.errors import NotifyError, Unavailable

PATIENCE_S = 1.0
"""How long to wait for an answer: a node that has died still counts as living for a while."""

Answerer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

log = structlog.get_logger(__name__)


class Answers(dict[str, Mapping[str, Any]]):
    """Node to its answer."""

    silent: tuple[str, ...] = ()
    """The nodes that live and did not answer in time."""


class Living(Protocol):
    """Who is there to be asked."""

    async def alive(self) -> list[str]:
        """The nodes that live. Raises Unavailable."""


class Cluster:
    """Asks every node, this one included, and gathers what they answer.

    Nothing is stored, so a dead node leaves nothing behind that could be wrong.
    """

    def __init__(
        self,
        *,
        node_id: Callable[[], str],
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
        self._waiting: dict[str, Answers] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, question: str, answerer: Answerer) -> None:
        """Have a question answered here by `answerer`, whose result goes into JSON."""
        self._answerers[question] = answerer

    async def ask(self, question: str, **asked: Any) -> Answers:
        """Node to its answer, from every node that lives. Raises Unavailable.

        A node that does not answer within a second is left out, and named in `silent`: it is dead, or cut
        off. When this node does not even hear itself it is deaf, and must not take the silence of the others
        for an answer: that raises Unavailable.
        """
        node_id = self._node_id()
        expected = set(await self._registry.alive()) | {node_id}
        number = secrets.token_hex(8)
        answers = self._waiting[number] = Answers()
        changed = self._changed[number] = asyncio.Event()
        try:
            await self._publish(self._all_topic, encode(Ask(number, node_id, question, asked)))
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not expected <= answers.keys():
                        changed.clear()
                        await changed.wait()
            except TimeoutError:
                answers.silent = tuple(sorted(expected - answers.keys()))
                log.warning("nodes_silent", question=question, nodes=list(answers.silent))
        finally:
            del self._waiting[number], self._changed[number]
        if node_id not in answers:
            raise Unavailable("This node does not hear the other nodes", retry_after_s=1)
        return answers

    def heard(self, message: NodeMessage) -> None:
        """A question or an answer from a node. Anything else is ignored."""
        if isinstance(message, Answer):
            waiting = self._waiting.get(message.id)
            if waiting is not None:
                waiting[message.node] = message.answer
                self._changed[message.id].set()
        elif isinstance(message, Ask):
            answerer = self._answerers.get(message.question)
            if answerer is not None:
                task = asyncio.ensure_future(self._reply(answerer, message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _reply(self, answerer: Answerer, ask: Ask) -> None:
        try:
            answer = Answer(ask.id, self._node_id(), await answerer(ask.asked))
            await self._publish(self._node_topic(ask.node), encode(answer))
        except NotifyError as error:
            log.warning("question_not_answered", reason=error.detail)
        except (LookupError, TypeError, ValueError):
            log.warning("question_not_understood", exc_info=True)

    async def stop(self) -> None:
        """End the answers that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
