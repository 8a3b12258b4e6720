"""What commands do on Redis, without a node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from notify.cli.redis_url import found_url
from notify.cli.terminal.environment import load_settings
from notify.domain.errors import NotifyError
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.settings.settings import Settings

T = TypeVar("T")


def on_redis(verb: Callable[[Redis, Settings], Awaitable[T]]) -> T:
    """Run a verb on the Redis of the environment; its result. Raises ClickException with what went wrong."""
    settings = load_settings()
    try:
        return asyncio.run(_connected(settings, verb))
    except NotifyError as error:
        faults = "".join(f"\n  {fault.pointer}: {fault.detail}" for fault in error.errors)
        raise click.ClickException(f"{error.detail.removesuffix('.')}.{faults}") from error


async def _connected(settings: Settings, verb: Callable[[Redis, Settings], Awaitable[T]]) -> T:
    redis = Redis(Connector(found_url(settings), timeout_s=settings.redis_timeout), stats=RedisStats())
    await redis.start()
    try:
        return await verb(redis, settings)
    finally:
        await redis.stop()
