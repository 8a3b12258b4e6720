"""`notify cluster`: what the nodes share."""

from __future__ import annotations

import click

from notify.cli.on_redis import on_redis
from notify.cli.terminal.group import Group
from notify.store.addresses import Addresses
from notify.store.keys import FORMER_SECRET_S, Keys


@click.group(cls=Group)
def cluster() -> None:
    """Look after what the nodes share.

    It is in the Redis of NOTIFY_REDIS_URL, else the embedded server in NOTIFY_DATA_DIR, else that of a
    `notify dev` running here.
    """


@cluster.command()
def rotate_secret() -> None:
    """Replace the secret by which nodes know each other. No node needs a restart."""
    on_redis(lambda redis, settings: Addresses(redis, Keys(settings.redis_prefix)).rotate_secret())
    click.echo(
        "There is a new secret. Nodes take it within 5 s; "
        f"the former one is accepted for {FORMER_SECRET_S} s.",
        err=True,
    )
