"""`notify send`: post notifications from a shell."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Iterator
from typing import Any

import click

from notify.cli.api import Api, Failed, Fate, batches
from notify.cli.terminal.documents import Line, lines_of, text_of
from notify.cli.terminal.moment import Moment
from notify.cli.terminal.url import Url


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object: itself, `@file` or `-`."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object."""
        try:
            found = json.loads(text_of(str(value), "--data"))
        except ValueError as error:
            self.fail(f"This is not JSON: {error}.", param, ctx)
        if not isinstance(found, dict):
            self.fail('This must be a JSON object, such as {"build": 812}.', param, ctx)
        return found


@click.command()
@click.argument("source", required=False, metavar="[-|@FILE]")
@click.option(
    "--json", "given", metavar="JSON", help="Whole notifications: JSON, or @FILE, or - (see above)."
)
@click.option(
    "--user", "users", multiple=True, metavar="ID", help="User to notify; may be given several times."
)
@click.option(
    "--room", "rooms", multiple=True, metavar="NAME", help="Room to notify; may be given several times."
)
@click.option("--all", "everyone", is_flag=True, help="Notify everyone.")
@click.option(
    "--except-user",
    "except_users",
    multiple=True,
    metavar="ID",
    help="User to leave out; may be given several times.",
)
@click.option("--title", help="A line that says what happened.")
@click.option("--body", help="The text below it; - reads it from standard input.")
@click.option("--link", help="URL that the notification leads to.")
@click.option("--category", help="Category, for filtering and muting.")
@click.option("--priority", type=click.Choice(["low", "normal", "high", "urgent"]))
@click.option("--data", type=JsonObject(), metavar="JSON", help="Any JSON object; or @FILE, or -.")
@click.option("--event", help="Name of the event that clients get.  [default: notification]")
@click.option("--namespace", help="Socket.IO namespace.  [default: /]")
@click.option(
    "--ttl", type=click.IntRange(min=0), metavar="SECONDS", help="Lifetime. 0: only for those connected now."
)
@click.option(
    "--at", "deliver_at", type=Moment(), metavar="TIME",
    help="When to deliver it: 2026-12-01T09:00, or +15m. At most 30 days ahead.",
)  # fmt: skip
@click.option("--collapse-key", metavar="KEY", help="Replaces an older notification with this key.")
@click.option("--idempotency-key", metavar="KEY", help="Makes it safe to repeat: one key, one notification.")
@click.option(
    "--url",
    envvar="NOTIFY_URL",
    type=Url("http://localhost:8081"),
    default="http://127.0.0.1:8081",
    show_default=True,
    help="HTTP API.",
)
@click.option(
    "--key",
    envvar="NOTIFY_API_KEY",
    help="API key. Prefer NOTIFY_API_KEY: others on this machine can see a command line.",
)
def send(
    source: str | None,
    given: str | None,
    users: tuple[str, ...],
    rooms: tuple[str, ...],
    everyone: bool,
    except_users: tuple[str, ...],
    url: str,
    key: str | None,
    idempotency_key: str | None,
    **content: Any,
) -> int:
    """Post one or more notifications and print their ids.

    \b
    notify send --user 42 --title "Build failed" --data '{"build": 812}'
    make 2>&1 | notify send --user 42 --title "Build failed" --body -
    notify send @notification.json
    notify send --category digest - < many.ndjson

    A file, or standard input (-), holds one notification as JSON, or several, one per line (NDJSON) or in an
    array. They are posted in batches; errors name the line. The options fill in whatever fields are left
    out.
    """
    if source is not None and given is not None:
        raise click.UsageError("Give - or @FILE, or --json, not both.")
    if source is not None and source != "-" and not source.startswith("@"):
        raise click.UsageError(f"{source!r} is neither - nor @FILE; pass JSON itself with --json.")
    if not key:
        raise click.UsageError("An API key is needed: set NOTIFY_API_KEY, or give --key.")
    if content["body"] == "-":
        if "-" in (source, given):
            raise click.UsageError("Standard input can be read only once: give - in one place.")
        content["body"] = text_of("-", "--body").rstrip("\n")
    content["url"] = content.pop("link")
    options = {name: value for name, value in content.items() if value is not None}
    to = _target(users, rooms, everyone, except_users)
    if source is None and given is None:
        if not to or to.keys() == {"except_users"}:
            raise click.UsageError("Say who it is for: --user, --room or --all.")
        lines: Iterator[Line] = iter([Line(1, {"to": to, **options})])
    else:
        defaults = {"to": to, **options} if to else options
        read = lines_of(source or given or "", "--json" if source is None else "send")
        lines = (
            line if line.document is None else Line(line.number, {**defaults, **line.document})
            for line in read
        )
    return asyncio.run(_sent(url, key, lines, idempotency_key))


def _target(
    users: tuple[str, ...], rooms: tuple[str, ...], everyone: bool, except_users: tuple[str, ...]
) -> dict[str, Any]:
    to: dict[str, Any] = {}
    for plural, names in (("users", users), ("rooms", rooms)):
        if names:
            to |= {plural: list(names)} if len(names) > 1 else {plural[:-1]: names[0]}
    if everyone:
        to["all"] = True
    if except_users:
        to["except_users"] = list(except_users)
    return to


async def _sent(url: str, key: str, lines: Iterator[Line], idempotency_key: str | None) -> int:
    first, second = next(lines, None), next(lines, None)
    if first is None:
        raise click.UsageError("The input holds no notifications.")
    async with Api.open(url, key) as api:
        if second is None:
            if first.document is None:
                raise click.UsageError(f"{first.fault[:1].upper()}{first.fault[1:]}.")
            id_, status = await api.send(first.document, idempotency_key)
            click.echo(id_)
            if "deliver_at" in first.document and status != "scheduled":
                click.echo("-- its time has passed: it was delivered at once", err=True)
            return 0
        return await _many(api, itertools.chain([first, second], lines), idempotency_key)


async def _many(api: Api, lines: Iterator[Line], idempotency_key: str | None) -> int:
    """Batch after batch; 1 when one line was not accepted. Stops when a batch is refused as a whole."""
    base = idempotency_key or secrets.token_hex(16)
    refused: list[Fate] = []

    def good() -> Iterator[Line]:
        for line in lines:
            if line.document is None:
                refused.append(_told(Fate(line.number, None, line.fault)))
            else:
                yield line

    for number, batch in enumerate(batches(good())):
        try:
            fates = await api.send_batch(batch, f"{base}/{number}")
        except Failed as error:
            again = (
                "rerun it with the same --idempotency-key and input: nothing is posted twice"
                if idempotency_key
                else "what came before them was accepted"
            )
            raise Failed(
                f"lines {batch[0].number} to {batch[-1].number} and those after them were not accepted; "
                f"{again}.\n{error.message}"
            ) from error
        for fate in fates:
            if fate.id is None:
                refused.append(_told(fate))
            else:
                click.echo(fate.id)
    return 1 if refused else 0


def _told(fate: Fate) -> Fate:
    click.echo(f"line {fate.number}: {fate.fault}", err=True)
    return fate
