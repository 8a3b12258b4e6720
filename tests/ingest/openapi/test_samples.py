"""The samples in the OpenAPI document, each run as it stands on a real node."""

from __future__ import annotations

import ast
import asyncio
import sys
from typing import Any

import pytest

from notify.ingest.openapi.document import document
from notify.ingest.openapi.samples import add_samples
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY

pytestmark = [pytest.mark.timeout(120), pytest.mark.node]

DOCUMENT = document(max_payload=65536)
RUN = {
    "bash": ("bash", "-euc"),
    "python": (sys.executable, "-c"),
    "javascript": ("node", "--input-type=module", "-e"),
}
OPERATIONS = {found["operationId"]: found for item in DOCUMENT["paths"].values() for found in item.values()}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_operation_has_samples_that_do_it(name: str, cluster: Cluster) -> None:
    operation = OPERATIONS[name]
    assert [sample["lang"] for sample in operation["x-codeSamples"]] == list(RUN)
    done = await asyncio.gather(*(run(sample, cluster) for sample in operation["x-codeSamples"]))
    for sample, (code, said) in zip(operation["x-codeSamples"], done, strict=True):
        # Of an id that stands in an example nothing may be known.
        assert code == 0 or ("404" in operation["responses"] and "not_found" in said), (sample, said)


async def run(sample: dict[str, Any], cluster: Cluster) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *RUN[sample["lang"]],
        sample["source"],
        env={
            "NOTIFY_URL": cluster.nodes[0].internal_url,
            "NOTIFY_API_KEY": API_KEY,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def sampled(path: str, operation: dict[str, Any]) -> list[str]:
    made = {"paths": {path: {"patch": operation}}, "components": {}}
    add_samples(made)
    return [sample["source"] for sample in made["paths"][path]["patch"]["x-codeSamples"]]


def test_an_operation_that_our_client_has_no_name_for_is_shown_with_httpx() -> None:
    body = {"word": "it's {id}", "flag": True, "none": None, "list": [{"deep": "x" * 80}, {"deep": 1}]}
    curl, python, script = sampled(
        "/v1/strange/{id}",
        {
            "parameters": [{"name": "id", "in": "path", "schema": {"examples": ["a/b c"]}}],
            "requestBody": {"content": {"application/json": {"examples": {"one": {"value": body}}}}},
        },
    )
    for source in (curl, python, script):
        assert "/v1/strange/a%2Fb%20c" in source
    assert "-X PATCH" in curl
    assert 'method: "PATCH"' in script
    assert "import httpx" in python
    (call,) = [
        node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.keyword) and node.arg == "json"
    ]
    assert ast.literal_eval(call.value) == body


def test_without_a_body_none_is_sent() -> None:
    for source in sampled("/v1/strange", {}):
        assert "json=" not in source
        assert "Content-Type" not in source
