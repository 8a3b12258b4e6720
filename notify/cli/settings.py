"""`notify settings`: what can be set, what is set, and what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import click
import orjson

from notify.cli.terminal.environment import load_settings
from notify.settings.settings import Line


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "env", "markdown"]),
    default="text",
    show_default=True,
)
def settings(form: str) -> None:
    """Show every setting with its value and meaning. Secrets are never shown, only whether they are set."""
    lines = load_settings().describe()
    click.echo({"text": _text, "json": _json, "env": _env, "markdown": _markdown}[form](lines))


def _text(lines: Sequence[Line]) -> str:
    shown = []
    for line in lines:
        value = f"{line.value} {line.unit}".strip() if line.value else "not set"
        shown.append(
            f"{line.name} = {value}" + ("" if not line.changed else f"  (default: {line.default or 'none'})")
        )
        shown += textwrap.wrap(line.meaning + ".", 96, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(shown)


def _json(lines: Sequence[Line]) -> str:
    return orjson.dumps([line._asdict() for line in lines], option=orjson.OPT_INDENT_2).decode()


def _env(lines: Sequence[Line]) -> str:
    """A file to start from: what is set as assignments, the rest as comments."""
    shown = []
    for line in lines:
        meaning = f"{line.meaning}." + (f" In {line.unit}." if line.unit else "")
        shown += textwrap.wrap(meaning, 96, initial_indent="# ", subsequent_indent="# ")
        secret = line.value in ("set", "not set")
        shown.append(
            f"{'' if line.changed and not secret else '#'}{line.name}={'' if secret else line.value}"
        )
    return "\n".join(shown)


def _markdown(lines: Sequence[Line]) -> str:
    rows = []
    for line in lines:
        default = f"`{line.default}` {line.unit}".strip() if line.default else ""
        rows.append(f"| `{line.name}` | {default} | {line.meaning} |")
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])
