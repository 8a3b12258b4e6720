"""The document: made of the schemas, sound in itself, and true."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from notify.domain import errors
from notify.domain.api_key import SCOPES
from notify.domain.moments import timestamp
from notify.ingest.fields import Inner, Listed, Unopened
from notify.ingest.openapi.document import REQUESTS, SCHEMAS, document
from notify.ingest.schemas import BATCH, NOTIFICATION, BatchSchema, NotificationSchema, TargetSchema, load
from tests.ingest.conftest import MAX_PAYLOAD, Api, Recorder, running

DOCUMENT = document(max_payload=65536)


def walk(node: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}/{index}")


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, found) for path, item in DOCUMENT["paths"].items() for method, found in item.items()
    ]


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def test_the_frame_is_openapi_3_1():
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"].keys() >= {"title", "version", "description"}
    assert DOCUMENT["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert DOCUMENT["security"] == [{"apiKey": []}]
    for scope in SCOPES:
        assert f"`{scope}`" in DOCUMENT["components"]["securitySchemes"]["apiKey"]["description"]


def test_every_reference_leads_somewhere_and_everything_is_referred_to():
    used = {node["$ref"] for _, node in walk(DOCUMENT) if isinstance(node, dict) and "$ref" in node}
    for reference in used:
        assert resolve({"$ref": reference})
    for kind, things in DOCUMENT["components"].items():
        if kind != "securitySchemes":
            assert {f"#/components/{kind}/{name}" for name in things} <= used


def test_every_operation_is_complete():
    seen = {found["operationId"] for _, _, found in operations()}
    assert len(seen) == len(operations()) == 12
    for method, _, found in operations():
        assert found["summary"]
        assert found["description"]
        assert ("requestBody" in found) == (method == "post")
        for status, answer in found["responses"].items():
            response = resolve(answer)
            assert 200 <= int(status) <= 599
            assert response["description"]
            assert "X-Request-Id" in response["headers"]
            assert ("content" in response) == (status not in ("204", "304"))
            for content_type, media in response.get("content", {}).items():
                assert "schema" in media
                assert "example" in media or media["examples"]
                if int(status) >= 400 and status != "422":
                    assert content_type == "application/problem+json"


def test_every_status_that_can_be_answered_is_documented():
    statuses = {"202", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"}
    assert DOCUMENT["paths"]["/v1/notifications"]["post"]["responses"].keys() == statuses
    assert DOCUMENT["paths"]["/v1/notifications/batch"]["post"]["responses"].keys() == statuses | {"207"}


@pytest.mark.parametrize(
    "name", ["BadRequest", "Unauthorized", "InFlight", "TooLarge", "Unavailable", "Internal"]
)
def test_examples_of_problems_are_problems(name: str):
    example = DOCUMENT["components"]["responses"][name]["content"]["application/problem+json"]["example"]
    error = errors.NotifyError if name == "Internal" else getattr(errors, name)
    assert (example["code"], example["status"], example["title"]) == (error.code, error.status, error.title)


@pytest.mark.parametrize("schema", [NotificationSchema, TargetSchema, BatchSchema])
def test_every_field_is_documented_as_it_is_checked(schema: type[Any]):
    (name,) = [name for name, found in SCHEMAS.items() if found is schema]
    shown = DOCUMENT["components"]["schemas"][name]
    assert shown["additionalProperties"] is False
    assert shown["description"]
    fields = schema().fields
    assert shown["properties"].keys() == fields.keys()
    assert set(shown.get("required", [])) == {key for key, field in fields.items() if field.required}
    for key, field in fields.items():
        property_ = shown["properties"][key]
        assert property_["description"], key
        assert "type" in property_ or "$ref" in property_, key
        if isinstance(field, Listed | Unopened):
            assert property_["maxItems"] >= property_["minItems"]
        if not isinstance(field, Inner | Unopened):
            assert "examples" in property_ or "enum" in property_, key


def test_every_documented_default_is_the_one_that_is_taken():
    made = load(NOTIFICATION, {"to": {"user": "1"}})
    taken = {"event": made.event, "priority": made.priority, "ttl": made.ttl_s, "namespace": made.namespace}
    shown = DOCUMENT["components"]["schemas"]["Notification"]["properties"]
    for name, value in taken.items():
        assert shown[name]["description"].endswith(f" Default: `{json.dumps(value)}`."), name


def test_nothing_is_said_in_ways_that_generators_misunderstand():
    for name in REQUESTS:
        for path, node in walk(DOCUMENT["components"]["schemas"][name]):
            assert not isinstance(node, dict) or not node.keys() & {"anyOf", "oneOf", "default"}, (name, path)
    for method, path, found in operations():
        for status, answer in found["responses"].items():
            assert len(resolve(answer).get("content", ())) <= 1, (method, path, status)


def test_every_example_of_a_field_is_taken():
    for name, field in DOCUMENT["components"]["schemas"]["Notification"]["properties"].items():
        for example in field.get("examples", field.get("enum", [])):
            load(NOTIFICATION, {"to": {"user": "1"}, name: example})
    for name, field in DOCUMENT["components"]["schemas"]["Target"]["properties"].items():
        for example in field["examples"]:
            load(NOTIFICATION, {"to": {"user": "1", name: example}})


def test_every_bound_that_is_shown_is_the_one_that_holds():
    for name, field in DOCUMENT["components"]["schemas"]["Notification"]["properties"].items():
        good = bad = None
        if "maxLength" in field and name not in {"url", "namespace"}:
            good, bad = "x" * field["maxLength"], "x" * (field["maxLength"] + 1)
        elif "maxLength" in field:
            good, bad = "/" + "x" * (field["maxLength"] - 1), "/" + "x" * field["maxLength"]
        elif "maximum" in field:
            good, bad = field["maximum"], field["maximum"] + 1
        if good is not None:
            load(NOTIFICATION, {"to": {"user": "1"}, name: good})
            with pytest.raises(errors.Invalid):
                load(NOTIFICATION, {"to": {"user": "1"}, name: bad})


async def test_every_example_of_a_request_is_accepted_and_every_answer_is_as_documented(recorder: Recorder):
    async with running(recorder, max_payload=65536) as api:
        for method, path, found in operations():
            examples = {"none": {"value": None}}
            if "requestBody" in found:
                examples = found["requestBody"]["content"]["application/json"]["examples"]
            address = path.replace("{id}", "42").replace("{room}", "project:7")
            for name, example in examples.items():
                body = b"" if example["value"] is None else example["value"]
                answer = await (
                    api.post(body, address) if method == "post" else api.ask(method.upper(), address)
                )
                assert answer.status in (200, 202, 204), (method, path, name, answer.body)
                documented = resolve(found["responses"][str(answer.status)])
                if answer.status == 204:
                    assert answer.body == b""
                    continue
                schema = resolve(documented["content"]["application/json"]["schema"])
                assert set(schema["required"]) <= answer.json.keys() <= schema["properties"].keys()
    assert load(BATCH, {"notifications": [1]})


async def test_problems_have_the_members_that_are_documented(api: Api):
    answer = await api.post([])
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    assert answer.json.keys() == problem["properties"].keys() == set(problem["required"])
    fault = DOCUMENT["components"]["schemas"]["Fault"]
    assert answer.json["errors"][0].keys() == fault["properties"].keys()
    later = timestamp(int((time.time() + 3600) * 1000))
    batch = (await api.batch({"notifications": [1, {"to": {"user": "1"}, "deliver_at": later}]})).json
    none = DOCUMENT["components"]["schemas"]["BatchProblem"]
    assert (await api.batch({"notifications": [1]})).json.keys() == none["properties"].keys()
    result = DOCUMENT["components"]["schemas"]["Result"]["properties"]
    assert batch["results"][0].keys() | batch["results"][1].keys() == result.keys()


async def test_the_document_is_served_to_everyone(api: Api):
    answer = await api.ask("GET", "/openapi.json", key=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == document(max_payload=MAX_PAYLOAD)
