"""`notify completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from notify.cli.terminal.group import COMPLETE_VARIABLE, PROGRAM

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL (bash, zsh or fish) complete commands and options.

    \b
    bash    echo 'source <(notify completion bash)' >> ~/.bashrc
    zsh     echo 'source <(notify completion zsh)' >> ~/.zshrc
    fish    notify completion fish > ~/.config/fish/completions/notify.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click has all three
        raise click.UsageError(f"click knows no {shell}.")
    script = kind(ctx.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE)
    # Not `source()`: it starts a bash to learn its version, though the script may be for another machine.
    click.echo(script.source_template % script.source_vars())
