"""The command `notify`."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

import notify


class Commands(click.Group):
    """The commands, each imported when it is wanted: `notify dev` must not wait for what it does not use."""

    NAMES = ("dev", "keys", "listen", "send", "serve", "settings", "token")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names."""
        return list(self.NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command `x` is `notify.cli.x.x`."""
        if cmd_name not in self.NAMES:
            return None
        command: click.Command = getattr(import_module(f"notify.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(notify.__version__, prog_name="notify")
def cli() -> None:
    """Real-time notifications: POST once, every tab and phone has it.

    Start with `notify dev`: everything on this machine, with a page to look at.
    """


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except OSError as error:
        # What is still to be written goes nowhere, or Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read it has had enough: `notify listen | head -1`
            sys.exit(0)
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
