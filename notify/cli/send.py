"""`notify send`: post a notification from a shell."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import click


class Failed(click.ClickException):
    """The API did not take it: exit code 1."""


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object."""
        try:
            found = json.loads(value)
        except ValueError as error:
            self.fail(f"This is not JSON: {error}.", param, ctx)
        if not isinstance(found, dict):
            self.fail('This must be a JSON object, such as {"build": 812}.', param, ctx)
        return found


@click.command()
@click.option(
    "--user", "users", multiple=True, metavar="ID", help="User to notify; may be given several times."
)
@click.option(
    "--room", "rooms", multiple=True, metavar="NAME", help="Room to notify; may be given several times."
)
@click.option("--all", "everyone", is_flag=True, help="Notify everyone.")
@click.option("--except-user", "except_users", multiple=True, metavar="ID", help="But not this user.")
@click.option("--title")
@click.option("--body")
@click.option("--link", help="URL that the notification leads to.")
@click.option("--category")
@click.option("--priority", type=click.Choice(["low", "normal", "high", "urgent"]))
@click.option("--data", type=JsonObject(), metavar="JSON", help="Any JSON object.")
@click.option("--event", help="Name of the event that clients get.  [default: notification]")
@click.option("--namespace", help="Socket.IO namespace.  [default: /]")
@click.option("--ttl", type=click.IntRange(min=0), metavar="SECONDS", help="0: now or never.")
@click.option("--idempotency-key", metavar="KEY", help="The same key makes the same notification, once.")
@click.option(
    "--url", envvar="NOTIFY_URL", default="http://127.0.0.1:8081", show_default=True, help="HTTP API."
)
@click.option("--key", envvar="NOTIFY_API_KEY", help="API key; better given as NOTIFY_API_KEY.")
def send(
    users: tuple[str, ...],
    rooms: tuple[str, ...],
    everyone: bool,
    except_users: tuple[str, ...],
    url: str,
    key: str | None,
    idempotency_key: str | None,
    **content: Any,
) -> None:
    """Post a notification, and print its id.

    \b
    notify send --user 42 --title "Build failed" --data '{"build": 812}'
    """
    if not (users or rooms or everyone):
        raise click.UsageError("Say whom it is for: --user, --room or --all.")
    if not key:
        raise click.UsageError("An API key is needed: set NOTIFY_API_KEY, or give --key.")
    to: dict[str, Any] = {}
    for plural, names in (("users", users), ("rooms", rooms)):
        if names:
            to |= {plural: list(names)} if len(names) > 1 else {plural[:-1]: names[0]}
    if everyone:
        to["all"] = True
    if except_users:
        to["except_users"] = list(except_users)
    content["url"] = content.pop("link")
    body = {"to": to, **{name: value for name, value in content.items() if value is not None}}
    headers = {"Authorization": f"Bearer {key}"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    click.echo(asyncio.run(_post(url.rstrip("/") + "/v1/notifications", body, headers)))


async def _post(url: str, body: dict[str, Any], headers: dict[str, str]) -> str:
    timeout = aiohttp.ClientTimeout(total=15)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=body, headers=headers) as response,
        ):
            answer = await response.text()
            status = response.status
    except (aiohttp.ClientError, ValueError, TimeoutError) as error:
        raise Failed(f"{url} did not answer: {error or type(error).__name__}.") from error
    try:
        found = json.loads(answer)
        return str(found["id"]) if status == 202 else _refused(status, found)
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(
            f"{url} answered {status}, but not as notify does: is this the internal port?"
        ) from error


def _refused(status: int, problem: dict[str, Any]) -> str:
    lines = [f"{problem['title']} ({status} {problem['code']})"]
    if problem.get("detail"):
        lines.append(f"  {problem['detail']}")
    lines += [f"  {error['pointer']}: {error['detail']}" for error in problem.get("errors") or ()]
    raise Failed("\n".join(lines))
