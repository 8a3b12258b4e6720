"""Which Redis a command is to talk to: the one of the settings, else one that runs in a directory here."""

from __future__ import annotations

from pathlib import Path

import click

from notify.cli.terminal.environment import Misconfigured
from notify.embedded.server import EmbeddedServer
from notify.settings.settings import Settings

DEV_DIRECTORIES = Path(".notify")
"""Below it `notify dev` keeps its data: `.notify/dev`, `.notify/dev-2`, and so on."""


def found_url(settings: Settings) -> str:
    """NOTIFY_REDIS_URL, else the server that runs in NOTIFY_DATA_DIR, else the one of a running `notify dev`.

    Raises Misconfigured when there is none, or when several `notify dev` run.
    """
    if url := local_url(settings):
        return url
    if running := running_dev():
        listed = ", ".join(map(str, running))
        raise Misconfigured(
            {"NOTIFY_DATA_DIR": [f"Several `notify dev` are running here: set this to one of {listed}."]}
        )
    raise Misconfigured(
        {
            "NOTIFY_REDIS_URL": [
                "Set this, or set NOTIFY_DATA_DIR to the directory of a running embedded server: there is "
                f"none in {settings.data_dir}, and no `notify dev` runs in this directory or one above it."
            ]
        }
    )


def local_url(settings: Settings) -> str | None:
    """`found_url`, or None instead of Misconfigured."""
    if url := settings.redis_url or EmbeddedServer.url_in(Path(settings.data_dir)):
        return url
    running = running_dev()
    if len(running) != 1:
        return None
    ((directory, url),) = running.items()
    click.echo(f"-- Using the Redis of the `notify dev` running in {directory}.", err=True)
    return url


def running_dev() -> dict[Path, str]:
    """Where each `notify dev` that was started in this directory, or one above it, has its Redis."""
    here = Path.cwd()
    for directory in (here, *here.parents):
        candidates = sorted((directory / DEV_DIRECTORIES).glob("dev*"))
        found = {each: url for each in candidates if (url := EmbeddedServer.url_in(each)) is not None}
        if found:
            return found
    return {}
