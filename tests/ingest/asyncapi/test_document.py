"""The document of the events: sound in itself, and of the events that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from jsonschema import Draft202012Validator

from notify.domain.notifications.notification import DEFAULT_EVENT, RESERVED_EVENTS
from notify.gateway import events, inbox
from notify.ingest.asyncapi.document import document, key_of
from notify.ingest.asyncapi.events import EVENTS, Event
from tests.ingest.conftest import Api

DOCUMENT = document()
EVENTS_MD = Path(__file__).parents[3] / "docs" / "events.md"
SOCKET_IO = {
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
    "*",
    "__disconnect_final",
}
"""Reserved, but not ours: Socket.IO's clients use them themselves."""


def message(key: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["messages"][key]
    return found


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*(references(inner) for inner in node.values()))
    if isinstance(node, list):
        return set().union(*(references(inner) for inner in node))
    return set()


def test_every_reference_leads_somewhere_and_every_component_is_referred_to():
    used = references(DOCUMENT)
    for reference in used:
        assert resolve(reference)
    for kind, things in DOCUMENT["components"].items():
        assert {name for name in things if f"#/components/{kind}/{name}" not in used} == set()


def test_the_events_are_those_that_are_reserved_and_the_two_that_may_be_named():
    names = [event.name for event in EVENTS]
    assert len(names) == len(set(names))
    assert set(names) == (RESERVED_EVENTS - SOCKET_IO) | {DEFAULT_EVENT, events.DEFAULT_SENT_EVENT}


def test_what_clients_send_is_what_the_gateway_handles():
    class Listening:
        """Takes the place of the Socket.IO server: remembers what is handled."""

        handled: list[str] = []  # noqa: RUF012

        def on(self, event: str, *_: Any, **__: Any) -> None:
            self.handled.append(event)

    nothing = Mock()
    gateway = events.Events(
        manager=nothing,
        authenticator=nothing,
        admission=nothing,
        rooms=nothing,
        sessions=nothing,
        publisher=nothing,
        inbox=nothing,
        now=nothing,
    )
    gateway.attach(Listening())
    assert set(Listening.handled) - {"*"} == {event.name for event in EVENTS if not event.from_server}
    (listing,) = [event for event in EVENTS if event.name == "inbox:list"]
    assert f"At most {inbox.MAX_LISTS} at a time" in listing.description


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_the_examples_are_what_the_schemas_say(event: Event):
    keys = [key_of(event.name)] + ([f"{key_of(event.name)}Answer"] if event.answer else [])
    for key in keys:
        payload = {**message(key)["payload"], "components": DOCUMENT["components"]}
        Draft202012Validator.check_schema(payload)
        assert message(key)["examples"]
        for example in message(key)["examples"]:
            Draft202012Validator(payload).validate(example["payload"])


def test_docs_events_md_names_every_event():
    text = EVENTS_MD.read_text()
    rows = set(re.findall(r"^\| `([\w:]+)`", text, re.MULTILINE))
    assert {event.name for event in EVENTS} <= rows


async def test_the_document_is_served_to_everyone(api: Api):
    answer = await api.ask("GET", "/asyncapi.json", key=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == document()
