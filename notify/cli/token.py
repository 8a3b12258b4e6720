"""`notify token`: a token for a client, for trying things out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import jwt

from notify.cli.terminal.environment import Misconfigured, load_settings
from notify.domain.names import room_name_fault, room_pattern_fault, send_pattern_fault, user_id_fault
from notify.settings.settings import Settings

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """`90`, `90s`, `15m`, `1h`, `7d`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if found is None or float(found[1]) <= 0:
            self.fail(f"{value!r} is not a duration: write 90s, 15m, 1h or 7d.", param, ctx)
        return float(found[1]) * UNITS_S[found[2] or "s"]


def minted(settings: Settings, user: str, *, expires_in_s: float, claims: Mapping[str, Sequence[str]]) -> str:
    """An HS256 token that these settings accept. Raises Misconfigured if there is no secret to sign with."""
    if settings.jwt_secret is None:
        raise Misconfigured({"NOTIFY_JWT_SECRET": ["Set this to the nodes' secret: it signs the token."]})
    now = int(time.time())
    full: dict[str, Any] = {"sub": user, "iat": now, "exp": int(now + expires_in_s)}
    if settings.jwt_issuer is not None:
        full["iss"] = settings.jwt_issuer
    if settings.jwt_audience is not None:
        full["aud"] = settings.jwt_audience
    full |= {name: list(values) for name, values in claims.items() if values}
    return jwt.encode(full, settings.jwt_secret.reveal(), "HS256")


def _good(fault: Callable[[object], str | None]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def check(_: click.Context, __: click.Parameter, value: Any) -> Any:
        for each in value if isinstance(value, tuple) else (value,):
            if (found := fault(each)) is not None:
                raise click.BadParameter(f"it {found}.")
        return value

    return check


@click.command()
@click.argument("user", callback=_good(user_id_fault))
@click.option(
    "--join", multiple=True, metavar="ROOM", callback=_good(room_name_fault), help="Room to join at once."
)
@click.option(
    "--room", "rooms", multiple=True, metavar="PATTERN", callback=_good(room_pattern_fault),
    help="Rooms that may be joined on request: `lobby`, `project:*`.",
)  # fmt: skip
@click.option(
    "--send", multiple=True, metavar="PATTERN", callback=_good(send_pattern_fault),
    help="Whom the client may send to: `user:7`, `user:*`, `room:project:*`.",
)  # fmt: skip
@click.option(
    "--expires",
    type=Duration(),
    default="1h",
    show_default=True,
    help="How long it is valid: 90s, 15m, 1h, 7d.",
)
def token(
    user: str, join: tuple[str, ...], rooms: tuple[str, ...], send: tuple[str, ...], expires: float
) -> None:
    """Create a token for USER, signed with NOTIFY_JWT_SECRET. In production your backend does this."""
    claims = {"join": join, "rooms": rooms, "send": send}
    click.echo(minted(load_settings(), user, expires_in_s=expires, claims=claims))
