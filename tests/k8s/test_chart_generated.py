"""What is generated says what its sources say: run `make chart` when this fails."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import pytest

import notify
from notify.settings.settings import Settings
from tests.k8s import generate, toolbox
from tests.k8s.package import PLACEHOLDER

pytestmark = pytest.mark.timeout(300)

PLAIN = {"enabled", "name", "key", "port", "public", "internal", "labels", "annotations", "resources"}
"""Keys whose meaning is said by the map that they are in."""


@pytest.mark.parametrize("path", generate.generated(), ids=lambda path: path.name)
def test_it_is_up_to_date(path) -> None:
    assert path.read_text() == generate.generated()[path]


def test_the_table_has_every_value_with_its_default() -> None:
    """As YAML itself reads them, not as the generator does."""
    (values,) = toolbox.ask([{"do": "read_yaml", "path": str(generate.VALUES)}])
    rows = dict(re.findall(r"^\| `([\w.*-]+)` \| `?(.*?)`? \|", generate.README.read_text(), re.MULTILINE))
    for name, default in rows.items():
        found = values
        for key in name.removesuffix(".*").split("."):
            found = found[key]
        if isinstance(found, str | int) and not isinstance(found, bool):
            assert default.strip('"') == str(found), name
    leaves = {name for name in rows if not name.endswith(".*")}

    def below(found: object, path: str) -> None:
        if isinstance(found, dict) and f"{path}" not in leaves:
            for key, value in found.items():
                below(value, f"{path}.{key}" if path else key)
        else:
            assert path in leaves, path

    below(values, "")


def test_every_value_says_when_to_change_it() -> None:
    found = generate.values(generate.VALUES.read_text())
    silent = {".".join(each.path) for each in found if not each.comment and each.path[-1] not in PLAIN}
    inside = ("resources.", "podSecurityContext.", "containerSecurityContext.", "probes.")
    assert not {name for name in silent if not any(part in f"{name}." for part in inside)}
    assert not [each.path for each in found if len(each.path) == 1 and not each.comment]


def test_the_schema_knows_the_servers_settings_and_their_limits() -> None:
    (schema,) = toolbox.ask([{"do": "read_yaml", "path": str(generate.SCHEMA)}])  # JSON is YAML
    settings = schema["properties"]["settings"]["properties"]
    names = {line.name.removeprefix("NOTIFY_") for line in Settings.load({}).describe()}
    assert set(settings) == names
    assert settings["MAX_PAYLOAD"]["minimum"] == 1024
    assert settings["PING_INTERVAL"]["exclusiveMinimum"] == 0
    assert settings["LOG_LEVEL"]["enum"] == ["debug", "info", "warning", "error"]


def test_the_chart_says_who_made_it_and_belongs_to_this_version() -> None:
    (chart,) = toolbox.ask([{"do": "read_yaml", "path": str(generate.CHART_YAML)}])
    assert chart["appVersion"] == chart["version"] == notify.__version__
    assert chart["home"] == PLACEHOLDER
    assert chart["sources"] == [PLACEHOLDER]
    assert chart["maintainers"][0]["name"]
    kind, _, data = chart["icon"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert ET.fromstring(base64.b64decode(data)).tag.endswith("svg")
