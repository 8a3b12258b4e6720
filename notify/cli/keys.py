"""`notify keys`: API keys for backends, kept hashed in Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from notify.cli.on_redis import on_redis
from notify.cli.terminal.group import Group
from notify.domain.api_key import SCOPES, ApiKey
from notify.redis.client import Redis
from notify.service.keys import ApiKeys
from notify.settings.settings import Settings
from notify.store.api_keys import ApiKeyStore
from notify.store.keys import Keys

T = TypeVar("T")


@click.group(cls=Group)
def keys() -> None:
    """Create, list and revoke API keys.

    Keys are kept in Redis, so every node knows them without a restart: in the Redis of NOTIFY_REDIS_URL, else
    the embedded server in NOTIFY_DATA_DIR, else that of a `notify dev` running here.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(list(SCOPES)),
    help="What the key may do. May be given several times.  [default: publish]",
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Create a key called NAME and print it. It cannot be shown again."""
    key, text = _run(lambda api_keys: api_keys.create(name, scopes or ("publish",)))
    click.echo(text)
    click.echo(f"Key {key.id} ({name}) may {', '.join(sorted(key.scopes))}.", err=True)


@keys.command(name="list")
def list_() -> None:
    """List the keys, without their secrets."""
    found = _run(lambda api_keys: api_keys.list())
    if not found:
        click.echo("There are no API keys. `notify keys create <name>` creates one.", err=True)
    for key in found:
        click.echo(_shown(key))


@keys.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke the key with this ID (see `notify keys list`) on every node, within seconds."""
    _run(lambda api_keys: api_keys.revoke(key_id))
    click.echo(f"{key_id} is revoked.", err=True)


def _shown(key: ApiKey) -> str:
    made = f"{key.created_at:%Y-%m-%d %H:%M}" if key.created_at else "from NOTIFY_API_KEYS"
    return f"{key.id}  {key.name}  {','.join(sorted(key.scopes))}  {made}  {key.shown}"


def _run(verb: Callable[[ApiKeys], Awaitable[T]]) -> T:
    def on_keys(redis: Redis, settings: Settings) -> Awaitable[T]:
        configured = [key.reveal() for key in settings.api_keys]
        return verb(ApiKeys(ApiKeyStore(redis, Keys(settings.redis_prefix)), configured=configured))

    return on_redis(on_keys)
