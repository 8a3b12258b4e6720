"""Writes what of the chart follows from something else: its README, and what the schema says of `settings`.

    python -m tests.k8s.generate     (make chart)

The README's table are the comments of values.yaml. The schema's settings are those of the server.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marshmallow.validate import OneOf, Range, Regexp

from notify.settings.settings import Settings
from tests.k8s import toolbox

README = toolbox.CHART / "README.md"
TEMPLATE = toolbox.CHART / "README.template.md"
SCHEMA = toolbox.CHART / "values.schema.json"
VALUES = toolbox.CHART / "values.yaml"
CHART_YAML = toolbox.CHART / "Chart.yaml"

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.-]+):(?: (?P<value>.*))?$")


@dataclass
class Value:
    """One line of values.yaml: its path, what stands behind the colon, and the comment above it."""

    path: tuple[str, ...]
    default: str
    comment: str
    has_children: bool = False


def values(text: str) -> list[Value]:
    """The values of a file as the chart's is written: maps as blocks, the rest on one line or as lists."""
    found: list[Value] = []
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip()[1:].strip())
            continue
        match = _KEY.match(line)
        if match:
            depth = len(match["indent"]) // 2
            path = [*path[:depth], match["key"]]
            if depth and found:
                _parent(found, path[:-1]).has_children = True
            found.append(Value(tuple(path), match["value"] or "", " ".join(comment)))
        elif line.strip() and found:
            found[-1].default = "see values.yaml"
        comment = []
    return found


def _parent(found: list[Value], path: list[str]) -> Value:
    return next(each for each in reversed(found) if list(each.path) == path)


def table(found: list[Value]) -> str:
    """The values as tables of Markdown: one for each map at the top, the last one for what is no map."""
    tops = [each for each in found if len(each.path) == 1]
    sections = []
    for top in tops:
        if top.has_children:
            rows = [each for each in found if each.path[0] == top.path[0] and each is not top]
            sections.append(f"### {top.path[0]}\n\n{top.comment}\n\n{_rows(rows)}")
    others = [each for each in tops if not each.has_children]
    return "\n".join([*sections, f"### Others\n\n{_rows(others)}"])


def _rows(found: list[Value]) -> str:
    lines = ["| value | default | when to change it |", "|---|---|---|"]
    for each in found:
        default = "" if each.has_children else f"`{each.default}`"
        name = ".".join(each.path) + (".*" if each.has_children else "")
        cells = (f"`{name}`", default, each.comment)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def readme() -> str:
    """The chart's README."""
    chart = dict(re.findall(r'^(\w+): "?([^"\n]*?)"?$', CHART_YAML.read_text(), re.MULTILINE))
    parts = {**chart, "values": table(values(VALUES.read_text()))}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]].strip(), TEMPLATE.read_text())


def schema() -> str:
    """The schema of values.yaml, with every setting of the server under `settings`."""
    whole: dict[str, Any] = json.loads(SCHEMA.read_text())
    whole["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {each.name.upper(): _setting(each) for each in dataclasses.fields(Settings)},
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _setting(setting: dataclasses.Field[Any]) -> dict[str, Any]:
    """What YAML may say. A number may also be given as text, as `--set-string` does."""
    check = setting.metadata["check"]
    described = {"description": setting.metadata["meaning"]}
    if setting.metadata["read"] in ("int", "float"):
        whole = setting.metadata["read"] == "int"
        found: dict[str, Any] = {"type": ["integer" if whole else "number", "string"]}
        found["pattern"] = r"^[0-9]+$" if whole else r"^[0-9]+(\.[0-9]+)?$"
        if isinstance(check, Range):
            for name, bound, inclusive in (
                ("inimum", check.min, check.min_inclusive),
                ("aximum", check.max, check.max_inclusive),
            ):
                if bound is not None:
                    found[f"m{name}" if inclusive else f"exclusiveM{name}"] = bound
        return found | described
    if isinstance(check, OneOf):
        return {"enum": list(check.choices)} | described
    if isinstance(check, Regexp):
        assert isinstance(check.regex.pattern, str)
        return {
            "type": "string",
            "pattern": f"^{check.regex.pattern.removesuffix(chr(92) + 'Z')}$",
        } | described
    return {"type": "string"} | described


def generated() -> dict[Path, str]:
    """Each file with what it should say."""
    return {README: readme(), SCHEMA: schema()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
