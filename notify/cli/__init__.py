"""The command `notify`."""

from __future__ import annotations

import os
import sys

import click

import notify
from notify.cli.dev import dev
from notify.cli.keys import keys
from notify.cli.listen import listen
from notify.cli.send import send
from notify.cli.serve import serve
from notify.cli.settings import settings
from notify.cli.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(notify.__version__, prog_name="notify")
def cli() -> None:
    """Real-time notifications: POST once, every tab and phone has it.

    Start with `notify dev`: everything on this machine, with a page to look at.
    """


for command in (serve, dev, send, listen, token, keys, settings):
    cli.add_command(command)


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
    except BrokenPipeError:
        # Whoever read our output has had enough (`notify listen | head -1`). Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
