"""Groups of commands whose help is never cut off."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click
from click.shell_completion import CompletionItem

PROGRAM = "notify"
COMPLETE_VARIABLE = "_NOTIFY_COMPLETE"
"""Set by a shell's script that asks for completions: click answers before it does anything else."""


class Group(click.Group):
    """A click group whose list of commands cuts nothing off."""

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """The first sentence of each command's help, by its name."""
        found = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            text = " ".join(((command and command.help) or "").split("\n\n")[0].split())
            found[name] = text
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """All commands, each with the whole of its sentence."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx).items()))


class LazyGroup(Group):
    """A group whose command `x` is `notify.cli.x.x`, imported only when it runs.

    The list of commands holds their help sentences as well, so neither help nor completion imports anything.
    """

    by_name: ClassVar[Mapping[str, str]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names."""
        return list(self.by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        if cmd_name not in self.by_name:
            return None
        command: click.Command = getattr(import_module(f"notify.cli.{cmd_name}"), cmd_name)
        return command

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """The sentences."""
        return self.by_name

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve the name here: click knows only imported commands, and could not suggest the right one."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.by_name, ctx=ctx) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that begin so, and this group's options."""
        names = [
            CompletionItem(name, help=summary)
            for name, summary in self.by_name.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)
