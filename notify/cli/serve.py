"""`notify serve`: one node."""

from __future__ import annotations

import asyncio
import os

import click
import structlog
import uvloop

from notify.cli.terminal.environment import Misconfigured, load_settings
from notify.ops import logging

log = structlog.get_logger(__name__)

LOOP = uvloop.new_event_loop


@click.command()
@click.option("--embedded", is_flag=True, help="Run a Valkey as well, with its data in NOTIFY_DATA_DIR.")
def serve(embedded: bool) -> int:
    """Run one node, configured by NOTIFY_* variables: `notify settings` shows them.

    SIGTERM drains it: clients move to other nodes, requests are finished. A second SIGTERM stops it at once.
    """
    settings = load_settings()
    if missing := settings.missing(embedded=embedded):
        raise Misconfigured(missing)
    close_logs = logging.configure(
        level=settings.log_level, format=settings.log_format, node=settings.node_id
    )
    if os.environ.get("NOTIFY_JWT_SECRET", "").endswith(("\r", "\n")):
        log.warning(
            "line_break_left_out",
            advice="NOTIFY_JWT_SECRET ends in a line break, which is ignored: make sure that whoever signs "
            "tokens leaves it out as well.",
        )
    from notify import process  # noqa: PLC0415 - the entire service: other commands start without it

    try:
        with asyncio.Runner(loop_factory=LOOP) as runner:
            return runner.run(process.serve(settings, embedded=embedded))
    finally:
        close_logs()
