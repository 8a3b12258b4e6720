"""The command `notify`."""

from __future__ import annotations

import sys
from typing import ClassVar

import click

import notify
from notify.cli.terminal import streams
from notify.cli.terminal.group import COMPLETE_VARIABLE, PROGRAM, LazyGroup


class Commands(LazyGroup):
    """The commands, each imported only when it runs: `notify dev` must not wait for what it does not use."""

    by_name: ClassVar = {
        "dev": "Run everything on this machine, with a demo page.",
        "serve": "Run one node.",
        "send": "Post one or more notifications and print their ids.",
        "show": "Show how a notification stands, and how far it has come.",
        "retract": "Take notifications back.",
        "listen": "Print what arrives for a user.",
        "token": "Create a token for a user.",
        "inbox": "Show a user's inbox, mark its entries, or recount it.",
        "keys": "Create, list and revoke API keys.",
        "cluster": "Manage the secret that the nodes share.",
        "settings": "Show every setting with its value and meaning.",
        "doctor": "Check what a node needs, and report what is wrong.",
        "completion": "Print the shell script that completes these commands.",
    }


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(notify.__version__, "-V", "--version", prog_name=PROGRAM)
def cli() -> None:
    """Real-time notifications: POST once, and every tab and phone has it.

    Start with `notify dev`, which runs everything on this machine, with a demo page.
    """


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    streams.prepare()
    try:
        code = cli.main(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OSError as error:
        streams.abandon()
        if isinstance(error, BrokenPipeError):  # the reader has closed the pipe: `notify settings | head -1`
            sys.exit(0)
        click.echo(f"Error: {error.strerror or error}.", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
