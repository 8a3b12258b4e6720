"""What nodes really send, held against the AsyncAPI document: every event and acknowledgement, no more."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from notify.domain.moments import timestamp
from notify.ingest.asyncapi.document import document, key_of
from notify.ingest.asyncapi.events import EVENTS
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)

MARKS = ("seen", "read", "unread", "archived", "unarchived", "snoozed", "unsnoozed", "deleted")


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The same document, in which what is not described is wrong: callers may get more, our tests may not."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    for schema in found["components"]["schemas"].values():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
    return found


class Book:
    """The document, and what of it was seen."""

    def __init__(self) -> None:
        self._document = strict(document())
        self._events = {event.name: event for event in EVENTS}
        self.seen: set[str] = set()
        self.answered: set[str] = set()
        self.refused: set[str] = set()

    def _check(self, key: str, payload: Any) -> None:
        schema = {
            **self._document["components"]["messages"][key]["payload"],
            "components": self._document["components"],
        }
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(payload)

    def read(self, client: RawClient) -> None:
        """Hold all events of a client against the document."""
        for name, argument, *rest in client.events:
            event = self._events[name]
            assert event.from_server
            self._check(key_of(name), argument)
            assert [type(one) for one in rest] == ([str] if event.offset else [])
            self.seen.add(name)

    async def call(self, client: RawClient, name: str, argument: dict[str, Any]) -> dict[str, Any]:
        """Have a client send an event, and hold the event and its acknowledgement against the document."""
        answer: dict[str, Any] = await client.call(name, argument)
        self._check(f"{key_of(name)}Answer", answer)
        if answer["ok"]:
            self._check(key_of(name), argument)
            self.answered.add(name)
        else:
            self.refused.add(name)
        return answer


async def connect(node: Node, user: str, *, namespace: str = "/", **more: Any) -> RawClient:
    claims = more.pop("claims", {})
    auth = {"token": mint(user, join=["lobby"], rooms=["project:*"], send=["user:*", "room:*"], **claims)}
    client = await RawClient.connect(node.url, auth | more, namespace=namespace)
    assert not (await client.answer())["refused"]
    return client


def had(client: RawClient, name: str, **fields: Any) -> bool:
    """Whether it got such an event with these fields in its argument."""
    return any(event[0] == name and fields.items() <= event[1].items() for event in client.events)


async def test_everything_that_a_node_sends_is_in_the_document(cluster: Cluster, unique: str) -> None:
    node, user, book = cluster.nodes[0], f"documented-{unique}", Book()
    # Signed for six seconds: it is warned a second after it is in.
    soon = await connect(node, user, claims={"expires_in_s": 6})
    client = await connect(node, user)
    own = await connect(node, user, namespace=f"/users/{user}")
    chat = await connect(node, user, namespace="/chat")

    ids = []
    for fields in (
        {"title": "one", "body": "b", "url": "/u", "category": "ci", "data": {"a": [1]}, "priority": "high"},
        {"title": "two", "collapse_key": "k"},
        {"title": "three", "collapse_key": "k"},
        {"title": "scheduled", "deliver_at": timestamp(int(time.time() * 1000) + 1500)},
        {"title": "four", "ttl": 0},
    ):
        status, answer = await node.post({"to": {"user": user}, **fields})
        assert status == 202, answer
        ids.append(answer["id"])
    for namespace in (f"/users/{user}", "/chat"):
        status, answer = await node.post(
            {"to": {"user": user}, "namespace": namespace, "title": "in its namespace"}
        )
        assert status == 202, answer
    await client.until(lambda: had(client, "notification", title="four"))
    await client.until(lambda: had(client, "notification:removed", reason="collapsed"))
    await client.until(lambda: had(client, "notification", title="scheduled"))
    assert any("deliver_at" in event[1] for event in client.events)
    await own.until(lambda: had(own, "notification", title="in its namespace"))
    await chat.until(lambda: had(chat, "notification", title="in its namespace"))

    page = await book.call(client, "inbox:list", {"limit": 1, "status": "all", "by": "category"})
    await book.call(client, "inbox:list", {"if_rev": page["rev"]})
    await book.call(client, "inbox:list", {"after": page["next"], "category": ["ci", "none"]})
    await book.call(client, "inbox:list", {"limit": -1})
    for what in MARKS:
        until = {"until": "2126-11-23T09:00:00Z"} if what == "snoozed" else {}
        await book.call(client, "inbox:mark", {"as": what, "ids": [ids[0], "ntf_none"], **until})
        wanted = (
            ("notification:removed", {"reason": "deleted"})
            if what == "deleted"
            else ("inbox:changed", {"as": what})
        )
        await own.until(lambda wanted=wanted: had(own, wanted[0], **wanted[1]))
    await book.call(client, "inbox:mark", {"as": "read", "up_to": ids[2]})
    await client.until(lambda: any("up_to" in event[1] for event in client.events))
    await book.call(client, "inbox:mark", {"as": "nothing"})

    await book.call(client, "room:join", {"room": "project:7"})
    await book.call(client, "room:join", {"room": "secret"})
    await book.call(client, "send", {"to": {"room": "project:7"}, "data": {"text": "Hello"}})
    await book.call(client, "send", {"to": {"user": user}, "event": "message", "data": None})
    await book.call(client, "send", {"to": {}})
    await client.until(lambda: len([event for event in client.events if event[0] == "message"]) == 2)
    await book.call(client, "room:leave", {"room": "project:7"})
    await book.call(client, "room:leave", {"room": ""})
    await book.call(client, "session:refresh", {"token": mint(user, join=["lobby", "project:8"])})
    await book.call(client, "session:refresh", {"token": "none"})

    await soon.until(lambda: had(soon, "session:expiring"))
    pid, offset = (await own.answer())["pid"], own.offset
    await own.lose()
    back = await connect(node, user, namespace=f"/users/{user}", pid=pid, offset=offset)
    await back.until(lambda: had(back, "inbox:changed", **{"as": "reset"}))
    assert had(back, "session:ready", recovered=True)

    for each in (soon, client, own, chat, back):
        book.read(each)
        await each.close()
    assert book.seen == {event.name for event in EVENTS if event.from_server}
    asked = {event.name for event in EVENTS if not event.from_server}
    assert book.answered == asked
    assert book.refused == asked


def test_the_check_would_fail_on_what_is_not_described() -> None:
    book = Book()
    with pytest.raises(Exception, match="strange"):
        book._check("sessionExpiring", {"expires_in": 1, "strange": 2})
    with pytest.raises(Exception, match="expires_in"):
        book._check("sessionExpiring", {})
