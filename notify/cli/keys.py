"""`notify keys`: API keys for backends, kept hashed in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from notify.cli.environment import Misconfigured, load_settings
from notify.domain.api_key import SCOPES, ApiKey
from notify.domain.errors import NotifyError
from notify.service.keys import ApiKeys
from notify.settings import Settings
from notify.store.api_keys import ApiKeyStore
from notify.store.connection import Redis
from notify.store.embedded import EmbeddedServer
from notify.store.keys import Keys
from notify.store.opener import Opener
from notify.store.stats import StoreStats

T = TypeVar("T")


@click.group()
def keys() -> None:
    """Create, list and revoke API keys.

    They are kept in Redis (NOTIFY_REDIS_URL, or the embedded server in NOTIFY_DATA_DIR), of which all nodes
    know them at once; no restart is needed.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(list(SCOPES)),
    help="What it may do; default: publish.",
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a key called NAME, and print it: it is shown this once and can never be shown again."""
    key, text = _run(lambda api_keys: api_keys.create(name, scopes or ("publish",)))
    click.echo(text)
    click.echo(f"Key {key.id} ({name}) may {', '.join(sorted(key.scopes))}.", err=True)


@keys.command(name="list")
def list_() -> None:
    """List the keys, without their secrets."""
    found = _run(lambda api_keys: api_keys.list())
    if not found:
        click.echo("There are no API keys. `notify keys create <name>` makes one.", err=True)
    for key in found:
        click.echo(_shown(key))


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Take the key with that ID (from `notify keys list`) out of use, on every node within seconds."""
    _run(lambda api_keys: api_keys.revoke(key_id))
    click.echo(f"{key_id} is revoked.", err=True)


def _shown(key: ApiKey) -> str:
    made = f"{key.created_at:%Y-%m-%d %H:%M}" if key.created_at else "from NOTIFY_API_KEYS"
    return f"{key.id}  {key.name}  {','.join(sorted(key.scopes))}  {made}  {key.shown}"


def _run(verb: Callable[[ApiKeys], Awaitable[T]]) -> T:
    settings = load_settings()
    try:
        return asyncio.run(_with_keys(settings, verb))
    except NotifyError as error:
        faults = "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in error.errors)
        raise click.ClickException(f"{error.detail}.{faults}") from error


async def _with_keys(settings: Settings, verb: Callable[[ApiKeys], Awaitable[T]]) -> T:
    redis = Redis(Opener(_url(settings), timeout_s=settings.redis_timeout), stats=StoreStats())
    await redis.start()
    try:
        configured = [key.reveal() for key in settings.api_keys]
        return await verb(ApiKeys(ApiKeyStore(redis, Keys(settings.redis_prefix)), configured=configured))
    finally:
        await redis.stop()


def _url(settings: Settings) -> str:
    """The Redis of the settings, else the embedded server that runs in the data directory."""
    found = settings.redis_url or EmbeddedServer.url_in(Path(settings.data_dir))
    if found is None:
        raise Misconfigured(
            {
                "NOTIFY_REDIS_URL": [
                    "Set this, or NOTIFY_DATA_DIR to the directory of an embedded server that runs "
                    f"(there is none in {settings.data_dir})."
                ]
            }
        )
    return found
