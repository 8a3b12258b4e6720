"""How each call is made from a shell, Python and JavaScript: `x-codeSamples`, as viewers know them.

Made from the operation's path, parameters and first example, so that every operation has them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

WIDTH = 64

CLIENT: dict[str, str] = {
    "post /v1/notifications": "sent = notify.send(\n{fields}\n)\nprint(sent.id)",
    "post /v1/notifications/batch": (
        "messages = {notifications}\n"
        "for outcome in notify.send_many(messages):\n    print(outcome.id or outcome.error)"
    ),
    "get /v1/notifications/{id}": "print(notify.get({id}))",
    "delete /v1/notifications/{id}": "notify.retract({id})",
    "get /v1/users/{id}/presence": "print(notify.presence({id}))",
    "post /v1/users/{id}/disconnect": "print(notify.disconnect({id}, revoke=True))",
    "get /v1/users/{id}/inbox": 'print(notify.inbox({id}).list(status="unread", limit=5))',
    "post /v1/users/{id}/inbox/mark": "print(notify.inbox({id}).mark({as}, ids={ids}))",
    "delete /v1/users/{id}": "notify.erase({id})",
    "get /v1/rooms/{room}": "print(notify.rooms.get({room}))",
    "put /v1/rooms/{room}/users/{id}": "print(notify.rooms.add({room}, {id}))",
    "delete /v1/rooms/{room}/users/{id}": "print(notify.rooms.remove({room}, {id}))",
}
"""What our own client for Python has a name for; all others are shown with httpx."""


def add_samples(document: dict[str, Any]) -> None:
    """Put samples into every operation of an OpenAPI document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            given = {
                parameter["name"]: _example(parameter)
                for parameter in (_resolved(document, one) for one in operation.get("parameters", ()))
                if parameter["in"] == "path"
            }
            body = _body(operation)
            operation["x-codeSamples"] = [
                {"lang": "bash", "label": "curl", "source": _curl(method, path, given, body)},
                {"lang": "python", "label": "Python", "source": _python(method, path, given, body)},
                {"lang": "javascript", "label": "JavaScript", "source": _fetch(method, path, given, body)},
            ]


def _resolved(document: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in one:
        return one
    found: dict[str, Any] = document["components"]["parameters"][one["$ref"].rpartition("/")[2]]
    return found


def _example(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    (first, *_) = schema.get("examples") or parameter.get("examples") or [parameter.get("example", "42")]
    return str(first)


def _body(operation: dict[str, Any]) -> Any:
    """The first example of what is sent, None where nothing is."""
    content = operation.get("requestBody", {}).get("content", {})
    for described in content.values():
        for example in described.get("examples", {}).values():
            return example["value"]
    return None


def _filled(path: str, given: dict[str, str]) -> str:
    for name, value in given.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path


def _curl(method: str, path: str, given: dict[str, str], body: Any) -> str:
    verb = "" if method == ("get" if body is None else "post") else f"-X {method.upper()} "
    lines = [
        f'curl --fail-with-body -sS {verb}"$NOTIFY_URL{_filled(path, given)}"',
        '-H "Authorization: Bearer $NOTIFY_API_KEY"',
    ]
    if body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(written(body, 5, JSON))}")
    return " \\\n  ".join(lines)


def _python(method: str, path: str, given: dict[str, str], body: Any) -> str:
    call = CLIENT.get(f"{method} {path}")
    if call is None:
        return _httpx(method, path, given, body)
    told = {**(body or {}), **given}
    # In one go: what is put in may look like a place itself.
    call = re.sub(r"{(\w+)}", lambda found: _argument(found.group(1), told, body), call)
    return (
        "from notify_client import Notify\n\n"
        "with Notify() as notify:  # reads NOTIFY_URL and NOTIFY_API_KEY\n"
        + "\n".join(f"    {line}" for line in call.splitlines())
    )


def _argument(name: str, told: dict[str, Any], body: Any) -> str:
    if name == "fields":
        return "\n".join(f"    {field}={written(value, 4, PYTHON)}," for field, value in body.items())
    return written(told[name], 0, PYTHON)


def _httpx(method: str, path: str, given: dict[str, str], body: Any) -> str:
    sent = "" if body is None else f"    json={written(body, 4, PYTHON)},\n"
    return (
        "import os\n\nimport httpx\n\n"
        "answer = httpx.request(\n"
        f'    "{method.upper()}",\n'
        f'    os.environ["NOTIFY_URL"] + "{_filled(path, given)}",\n'
        '    headers={"Authorization": "Bearer " + os.environ["NOTIFY_API_KEY"]},\n'
        f"{sent})\n"
        "answer.raise_for_status()\n"
        "print(answer.text)"
    )


def _fetch(method: str, path: str, given: dict[str, str], body: Any) -> str:
    headers = ["    Authorization: `Bearer ${process.env.NOTIFY_API_KEY}`,\n"]
    sent = ""
    if body is not None:
        headers.append('    "Content-Type": "application/json",\n')
        sent = f"  body: JSON.stringify({written(body, 2, JSON)}),\n"
    return (
        f"const answer = await fetch(`${{process.env.NOTIFY_URL}}{_filled(path, given)}`, {{\n"
        f'  method: "{method.upper()}",\n'
        f"  headers: {{\n{''.join(headers)}  }},\n{sent}}});\n"
        "if (!answer.ok) throw new Error(await answer.text());\n"
        "console.log(await answer.text());"
    )


@dataclass(frozen=True, slots=True)
class Notation:
    """How a language writes what JSON can say."""

    words: Mapping[bool | None, str]
    step: int


JSON = Notation({True: "true", False: "false", None: "null"}, 2)
PYTHON = Notation({True: "True", False: "False", None: "None"}, 4)


def written(value: Any, indent: int, notation: Notation) -> str:
    """A value on one line where it fits. `indent` is that of the line that it begins on."""
    if value is None or isinstance(value, bool):
        return notation.words[value]
    if not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + notation.step
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {written(inner, deeper, notation)}" for name, inner in value.items()]
        begin, end = "{}"
    else:
        parts = [written(inner, deeper, notation) for inner in value]
        begin, end = "[]"
    flat = begin + ", ".join(parts) + end
    if "\n" not in flat and indent + len(flat) <= WIDTH:
        return flat
    comma = "," if notation is PYTHON else ""
    return begin + ",".join(f"\n{' ' * deeper}{part}" for part in parts) + f"{comma}\n{' ' * indent}{end}"
