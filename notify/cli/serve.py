"""`notify serve`: one node."""

from __future__ import annotations

import asyncio

import click
import uvloop

from notify.cli.environment import Misconfigured, load_settings
from notify.ops import logging

LOOP = uvloop.new_event_loop


@click.command()
@click.option("--embedded", is_flag=True, help="Run a Valkey of its own, with its data in NOTIFY_DATA_DIR.")
def serve(embedded: bool) -> int:
    """Run one node. It is set up by NOTIFY_* variables: `notify settings` shows them.

    SIGTERM drains it: clients are sent to other nodes, requests are finished. A second one ends it at once.
    """
    settings = load_settings()
    if missing := settings.missing(embedded=embedded):
        raise Misconfigured(missing)
    logging.configure(level=settings.log_level, format=settings.log_format, node=settings.node_id)
    from notify import app  # noqa: PLC0415 - the entire service: other commands start without it

    with asyncio.Runner(loop_factory=LOOP) as runner:
        return runner.run(app.serve(settings, embedded=embedded))
