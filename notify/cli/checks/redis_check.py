"""What `notify doctor` finds out about Redis: whether it is reachable and fit, and what its clock says."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from notify.cli.checks.verdict import Verdict, fault, ok, warning
from notify.domain.errors import NotifyError
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.settings.values import masked
from notify.store.checks import UnfitRedis, examine

CLOCK_WARNING_S, CLOCK_FAULT_S = 1.0, 30.0
SLOW_S = 0.005
PROBES = 5


async def check_redis(url: str, *, timeout_s: float) -> AsyncIterator[Verdict]:
    """Whether it answers, how fast, whether it persists its data, and what its clock says."""
    redis = Redis(Connector(url, timeout_s=timeout_s), stats=RedisStats())
    try:
        await redis.start()
    except NotifyError as error:
        yield fault(f"{error.detail.removesuffix('.')}. NOTIFY_REDIS_URL is {masked(url)}.")
        return
    try:
        yield await _reachable(redis, url)
        async for verdict in _fit(redis):
            yield verdict
        yield await _clock(redis)
    except NotifyError as error:
        yield fault(f"{error.detail.removesuffix('.')}. NOTIFY_REDIS_URL is {masked(url)}.")
    finally:
        await redis.stop()


async def _reachable(redis: Redis, url: str) -> Verdict:
    best = float("inf")
    for _ in range(PROBES):
        began = time.perf_counter()
        await redis.execute("PING")
        best = min(best, time.perf_counter() - began)
    sentence = f"Redis answers at {masked(url)} in {best * 1000:.1f} ms."
    if best > SLOW_S:
        return warning(f"{sentence} Every notification waits for that long: place Redis closer to the nodes.")
    return ok(sentence)


async def _fit(redis: Redis) -> AsyncIterator[Verdict]:
    try:
        findings = await examine(redis.execute)
    except UnfitRedis as error:
        for finding in error.findings:
            yield fault(finding.sentence)
        return
    for finding in findings:
        yield warning(finding.sentence)
    codes = {finding.code for finding in findings}
    if "info_forbidden" not in codes:
        yield ok("It evicts no keys when it is full (maxmemory-policy noeviction).")
        if "no_append_only" not in codes:
            yield ok("It keeps an append-only file.")


async def _clock(redis: Redis) -> Verdict:
    before = time.time()
    seconds, microseconds = (int(part) for part in await redis.execute("TIME"))
    after = time.time()
    ahead_s = seconds + microseconds / 1e6 - (before + after) / 2
    return judged_clock(ahead_s, spread_s=(after - before) / 2, whose="Redis'")


def judged_clock(ahead_s: float, *, spread_s: float, whose: str) -> Verdict:
    """The verdict on a clock that is `ahead_s` of ours, give or take `spread_s`."""
    off_s = max(0.0, abs(ahead_s) - spread_s)
    if off_s < CLOCK_WARNING_S:
        return ok(f"{whose} clock and this machine's clock agree.")
    direction = "behind" if ahead_s > 0 else "ahead of"
    sentence = (
        f"This machine's clock is {off_s:.1f} s {direction} {whose}: tokens would be checked against a "
        "different time than they were issued by. Synchronise both clocks with NTP."
    )
    return fault(sentence) if off_s >= CLOCK_FAULT_S else warning(sentence)
