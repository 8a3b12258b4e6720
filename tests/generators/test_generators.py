"""API clients that are generated from our document: their types mean what we mean, and they can post."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from notify.ingest.openapi.document import document
from tests.generators import toolbox
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY, mint

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """The document as a file."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document(max_payload=65536)))
    return file


def test_typescript_knows_what_may_be_posted(described: Path):
    place = described.parent
    toolbox.run(
        toolbox.node_program("openapi-typescript"),
        described,
        "--output",
        place / "notify.d.ts",
        directory=place,
    )
    shutil.copy(toolbox.HERE / "typed.ts", place)
    toolbox.run(
        toolbox.node_program("tsc"),
        *("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"),
        place / "typed.ts",
        directory=place,
    )


async def test_what_is_generated_for_python_can_post(described: Path):
    place = described.parent
    python = await asyncio.to_thread(toolbox.python)
    programs = python.parent
    (place / "config.yaml").write_text(
        "package_name_override: notify_client\nproject_name_override: generated\n"
    )
    await asyncio.to_thread(
        lambda: toolbox.run(
            *(programs / "openapi-python-client", "generate", "--path", described),
            *("--config", place / "config.yaml", "--meta", "none", "--output-path", place / "notify_client"),
            directory=place,
        )
    )
    await asyncio.to_thread(
        lambda: toolbox.run(
            *(programs / "datamodel-codegen", "--input", described, "--input-file-type", "openapi"),
            *("--output-model-type", "pydantic_v2.BaseModel", "--output", place / "notify_models.py"),
            directory=place,
        )
    )
    for name in ("post_by_client.py", "post_by_models.py"):
        shutil.copy(toolbox.HERE / name, place)
    async with Cluster(1, directory=place) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada", join=["lobby"])})
        await client.answer()
        for name in ("post_by_client.py", "post_by_models.py"):
            said = await asyncio.to_thread(
                toolbox.run, python, place / name, node.internal_url, API_KEY, directory=place
            )
            assert said.startswith("ntf_")
        await client.until(lambda: len(client.notifications) == 3)
        assert client.notifications == ["by the client", "one of a batch", "by the models"]
        await client.close()
