"""Both documents, as a linter reads them that is not ours: by the rules that it recommends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notify.ingest.asyncapi.document import document as asyncapi
from notify.ingest.openapi.document import document as openapi
from tests.generators import toolbox

pytestmark = pytest.mark.timeout(300)

DOCUMENTS = {"openapi": openapi(max_payload=65536), "asyncapi": asyncapi()}


def findings(document: dict[str, Any], place: Path) -> list[tuple[str, str]]:
    """(rule, severity) of everything that it has to say."""
    (place / "document.json").write_text(json.dumps(document))
    (place / "redocly.yaml").write_text("extends: [recommended]\ntelemetry: off\n")
    said = toolbox.run(
        *("env", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "REDOCLY_TELEMETRY=off"),
        toolbox.node_program("redocly"),
        *("lint", "document.json", "--format", "json", "--lint-config", "off"),
        directory=place,
        may_fail=True,
    )
    report = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]
    return [(found["ruleId"], found["severity"]) for found in report["problems"]]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_linter_finds_nothing(name: str, tmp_path: Path) -> None:
    assert findings(DOCUMENTS[name], tmp_path) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_linter_would_find_what_is_wrong(name: str, tmp_path: Path) -> None:
    broken = json.loads(json.dumps(DOCUMENTS[name]))
    broken["info"]["titel"] = broken["info"].pop("title")
    assert ("struct", "error") in findings(broken, tmp_path)
