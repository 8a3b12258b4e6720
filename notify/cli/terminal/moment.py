"""Times on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from notify.cli.token import UNITS_S


class Moment(click.ParamType[str]):
    """`2026-12-01T09:00:00Z`, `2026-12-01 09:00` by this machine's clock, or `+15m` from now; as RFC 3339."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The time as the API takes it."""
        text = str(value).strip()
        try:
            if found := re.fullmatch(r"\+(\d+(?:\.\d+)?)([smhd])", text):
                moment = datetime.now(UTC) + timedelta(seconds=float(found[1]) * UNITS_S[found[2]])
            else:
                moment = datetime.fromisoformat(text)
            return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a time: write 2026-12-01T09:00, or +15m from now.", param, ctx)
