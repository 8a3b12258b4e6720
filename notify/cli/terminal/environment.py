"""How every command reads the environment, or reports what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from notify.settings.settings import Settings, SettingsError


class Misconfigured(click.ClickException):
    """The environment is wrong: exit code 2, as for wrong options."""

    exit_code = 2

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        lines = [f"  {name}: {sentence}" for name, found in problems.items() for sentence in found]
        super().__init__("\n".join(("the environment is not valid.", *lines)))


def load_settings() -> Settings:
    """The settings of this process. Raises Misconfigured with everything that is wrong."""
    try:
        return Settings.load(os.environ)
    except SettingsError as error:
        raise Misconfigured(error.problems) from error
