"""`notify retract`: take notifications back."""

from __future__ import annotations

import asyncio

import click

from notify.cli.api import Api, Failed, needed, on_api


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@on_api
def retract(ids: tuple[str, ...], url: str, key: str | None) -> int:
    """Take notifications back.

    \b
    notify retract ntf_01KAR2V5J8Z4M7Q3T6W9Y1B5D8

    What is scheduled is cancelled; what was sent leaves inboxes and screens. Retracting twice is no error.
    """
    return asyncio.run(_retracted(url, needed(key), ids))


async def _retracted(url: str, key: str, ids: tuple[str, ...]) -> int:
    """1 when one of them could not be."""
    failed = 0
    async with Api.open(url, key) as api:
        for id_ in ids:
            try:
                await api.retract(id_)
            except Failed as error:
                click.echo(f"{id_}: {error.message}", err=True)
                failed = 1
    return failed
