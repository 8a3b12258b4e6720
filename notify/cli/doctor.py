"""`notify doctor`: checks what a node needs; each check prints one sentence."""

from __future__ import annotations

import asyncio
import os
import resource
from collections import Counter
from collections.abc import AsyncIterator

import click

from notify.cli.checks.public_check import PublicCheck
from notify.cli.checks.redis_check import check_redis
from notify.cli.checks.token_check import can_verify, check_token
from notify.cli.checks.verdict import Severity, Verdict, fault, ok, warning
from notify.cli.redis_url import local_url
from notify.cli.terminal.url import Url
from notify.gateway.http.origins import Origin, OriginPolicy
from notify.ops.descriptors import raise_limit, share_out
from notify.settings.settings import Settings, SettingsError

COLORS: dict[Severity, str] = {"ok": "green", "warning": "yellow", "fault": "red"}


def _origins(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        try:
            Origin.parse(origin)
        except ValueError as error:
            raise click.BadParameter(f"{origin!r} is not an origin: {error}.") from error
    return value


@click.command()
@click.option(
    "--url", type=Url("https://notify.example.com"),
    help="Public address as clients use it: through the proxy, if there is one.",
)  # fmt: skip
@click.option(
    "--token",
    envvar="NOTIFY_TOKEN",
    help="A client's token. Prefer NOTIFY_TOKEN: others on this machine can see a command line.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    callback=_origins,
    help="Origin of a page that must be able to connect.",
)
def doctor(url: str | None, token: str | None, origins: tuple[str, ...]) -> int:
    """Check what a node needs, and report what is wrong.

    It checks what NOTIFY_* variables and the options configure: the settings; Redis, its persistence and its
    clock; the token; origins; websockets and long-polling through the proxy; file descriptors. Exit code 1
    when there is a fault; warnings alone exit with 0.
    """
    return asyncio.run(_examined(url, token, origins))


async def _examined(url: str | None, token: str | None, origins: tuple[str, ...]) -> int:
    found: Counter[Severity] = Counter()
    unchecked: list[str] = []
    async for verdict in _verdicts(url, token, origins, unchecked):
        found[verdict.severity] += 1
        mark = click.style(f"{verdict.severity:<8}", fg=COLORS[verdict.severity])
        click.echo(f"{mark} {verdict.sentence}")
    if unchecked:
        click.echo(f"Not checked: {'; '.join(unchecked)}.")
    click.echo(f"{_count(found['fault'], 'fault')}, {_count(found['warning'], 'warning')}.")
    return 1 if found["fault"] else 0


async def _verdicts(
    url: str | None, token: str | None, origins: tuple[str, ...], unchecked: list[str]
) -> AsyncIterator[Verdict]:
    """Run the checks in order. Whatever is skipped is added to `unchecked`, with how to have it checked."""
    try:
        settings = Settings.load(os.environ)
    except SettingsError as error:
        for name, sentences in error.problems.items():
            for sentence in sentences:
                yield fault(f"{name}: {sentence}")
        unchecked.append("everything else, until the settings are right")
        return
    yield ok("The settings are valid.")
    redis_url = local_url(settings)
    if redis_url is None:
        unchecked.append("Redis (set NOTIFY_REDIS_URL)")
    else:
        async for verdict in check_redis(redis_url, timeout_s=settings.redis_timeout):
            yield verdict
    if token is None:
        unchecked.append("a token (give --token)")
    elif can_verify(settings):
        async for verdict in check_token(settings, token):
            yield verdict
    elif url is None:
        unchecked.append("the token (set NOTIFY_JWT_SECRET, or give --url)")
    if url is None:
        unchecked.append("the public address and the proxy (give --url)")
        for origin in origins:
            yield _by_settings(settings, origin)
    else:
        async for verdict in PublicCheck(url, token=token, origins=origins).verdicts():
            yield verdict
    if not origins:
        unchecked.append("origins (give --origin)")
    yield _descriptors(settings)


def _by_settings(settings: Settings, origin: str) -> Verdict:
    """Whether nodes with these settings accept pages from that origin."""
    if OriginPolicy(settings.cors_origins).allowed(origin, None, "https"):
        return ok(f"NOTIFY_CORS_ORIGINS allows pages from {origin}.")
    if not settings.cors_origins:
        return warning(
            f"NOTIFY_CORS_ORIGINS is not set: pages from {origin} can connect only if they are served from "
            "the same address as the nodes."
        )
    return fault(f"Pages from {origin} cannot connect: add it to NOTIFY_CORS_ORIGINS.")


def _descriptors(settings: Settings) -> Verdict:
    limit = raise_limit()  # as a node does
    if limit == resource.RLIM_INFINITY:
        return ok("Processes may open any number of files.")
    room = share_out(limit, internal=settings.max_internal_connections).public
    opened = f"Processes started from here may open {limit} files, which leaves room for {room} connections"
    if settings.max_connections and room >= settings.max_connections:
        return ok(f"{opened}: enough for NOTIFY_MAX_CONNECTIONS ({settings.max_connections}).")
    wanted = settings.max_connections or "no limit"
    return warning(
        f"{opened}: fewer than NOTIFY_MAX_CONNECTIONS ({wanted}). Raise the limit where nodes are started "
        "(LimitNOFILE= in systemd, ulimits in Compose), or lower NOTIFY_MAX_CONNECTIONS."
    )


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
