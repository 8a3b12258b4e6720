"""`notify show`: how a notification stands, and how far it has come."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from notify.cli.api import Api, needed, on_api


@click.command()
@click.argument("notification_id", metavar="ID")
@click.option("--recipients", is_flag=True, help="Also list the users whose inboxes have it.")
@click.option("--json", "as_json", is_flag=True, help="Print what the HTTP API answers.")
@on_api
def show(notification_id: str, recipients: bool, as_json: bool, url: str, key: str | None) -> None:
    """Show how a notification stands, and how far it has come.

    \b
    notify show ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8
    notify show ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8 --recipients

    Delivered, seen, read and archived are what clients say of the inboxes that have it now.
    """
    found = asyncio.run(_found(url, needed(key), notification_id, recipients))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(f"{found['id']}  {found['status']}  {_line(found.get('title'))}".rstrip())
    for name in ("created_at", "deliver_at", "expires_at"):
        if found.get(name):
            click.echo(f"  {name.removesuffix('_at'):9} {found[name]}")
    states = [f"{found[name]} {name}" for name in ("delivered", "seen", "read", "archived")]
    click.echo(f"  for {found['recipients']} in all: {', '.join(states)}")
    for one in found.get("users") or ():
        state = "delivered" if one["delivered"] else "not delivered"
        for name in ("seen", "read", "archived"):
            if one[f"{name}_at"]:
                state = f"{name} {one[f'{name}_at']}"
        click.echo(f"  {_line(one['user'])}  {state}")


async def _found(url: str, key: str, notification_id: str, recipients: bool) -> Any:
    async with Api.open(url, key) as api:
        if not recipients:
            return await api.find(notification_id)
        found = await api.find(notification_id, recipients="true", limit="1000")
        while found["next"]:
            more = await api.find(notification_id, recipients="true", limit="1000", after=found["next"])
            found = {**more, "users": [*found["users"], *more["users"]]}
        return found


def _line(text: str | None) -> str:
    """As a terminal may show it: on one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in text or "")
