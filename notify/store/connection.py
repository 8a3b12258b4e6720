"""The one gate to Redis: everything but the subscription goes through here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import structlog

from notify.domain.errors import NotifyError, Unavailable
from notify.store import scripts
from notify.store.link import Argument, Link, ReplyError
from notify.store.opener import Opener
from notify.store.scripts import Script
from notify.store.stats import StoreStats

RECONNECT_MIN_S, RECONNECT_MAX_S = 0.05, 1.0

WINDOW = 128
"""Script calls of one caller that are under way at once."""

RETRYABLE = frozenset(
    {"OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "MISCONF", "TRYAGAIN", "UNBLOCKED"}
)
"""Answers by which Redis says that it cannot take a write now."""

log = structlog.get_logger(__name__)


class StoreError(NotifyError):
    """Redis refused a command for a reason that trying again does not change."""

    code, title = "store_error", "The store refused a command"


class Redis:
    """Runs commands and scripts over one pipelined connection that is made again whenever it is lost.

    While it is away every call fails at once with Unavailable, so that no caller hangs; a call that Redis
    does not answer fails within `opener.timeout_s`.
    """

    def __init__(self, opener: Opener, *, stats: StoreStats) -> None:
        self._opener = opener
        self._stats = stats
        self._link: Link | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """True while commands can be sent."""
        return self._link is not None and self._link.usable

    async def start(self) -> None:
        """Connect and load the scripts. Raises Unavailable when that fails; later losses are healed."""
        self._link = await self._open()
        self._keeper = asyncio.create_task(self._keep(), name="redis-keeper")

    async def stop(self) -> None:
        """Close the connection; what still waits fails with Unavailable."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._link is not None:
            self._link.abort("the store is stopping")
            self._link = None
        await self._opener.close()

    async def _open(self) -> Link:
        _, link = await self._opener.open(Link(timeout_s=self._opener.timeout_s, stats=self._stats))
        try:
            await asyncio.gather(*(link.call(("SCRIPT", "LOAD", script.text)) for script in scripts.ALL))
        except ReplyError as error:
            link.abort("the scripts could not be loaded")
            raise translated(error) from error
        self._stats.connected = True
        return link

    async def _keep(self) -> None:
        while True:
            if self._link is not None:
                await asyncio.shield(self._link.lost)
                self._stats.connected = False
                log.warning("redis_lost")
            delay = RECONNECT_MIN_S
            while True:
                try:
                    self._link = await self._open()
                    self._stats.reconnects += 1
                    log.info("redis_back")
                    break
                except NotifyError as error:
                    self._stats.errors["connect"] += 1
                    log.warning("redis_unreachable", reason=error.detail, retry_in_s=round(delay, 2))
                    await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
                    delay = min(delay * 2, RECONNECT_MAX_S)

    async def execute(self, *command: Argument) -> Any:
        """Run one command; its reply, with strings as bytes. Raises Unavailable or StoreError."""
        link = self._link
        if link is None:
            self._stats.errors["unavailable"] += 1
            raise Unavailable("Redis is away", retry_after_s=1)
        try:
            return await link.call(command)
        except ReplyError as error:
            self._stats.errors["refused"] += 1
            raise self._judge(link, error) from error
        except Unavailable:
            self._stats.errors["unavailable"] += 1
            raise

    def post(self, *command: Argument) -> None:
        """Send a command whose reply nobody waits for. Losing it must do no harm."""
        if self._link is not None:
            self._link.call(command).add_done_callback(self._posted)

    def _posted(self, reply: asyncio.Future[Any]) -> None:
        if not reply.cancelled() and reply.exception() is not None:
            self._stats.errors["unavailable"] += 1

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script; its reply. Raises Unavailable or StoreError. Nothing was written on StoreError."""
        link = self._link
        if link is None:
            self._stats.errors["unavailable"] += 1
            raise Unavailable("Redis is away", retry_after_s=1)
        try:
            try:
                return await link.call(("EVALSHA", script.sha, len(keys), *keys, *args))
            except ReplyError as error:
                if error.kind != "NOSCRIPT":
                    raise
                # flushed, or another server took over since the scripts were loaded
                return await link.call(("EVAL", script.text, len(keys), *keys, *args))
        except ReplyError as error:
            self._stats.errors["refused"] += 1
            raise self._judge(link, error) from error
        except Unavailable:
            self._stats.errors["unavailable"] += 1
            raise

    async def run_many(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]]
    ) -> list[Any]:
        """Run a script once for each (keys, args), in order; replies, or the NotifyError in a reply's place.

        Goes in windows, so that a thousand calls do not make everyone else wait for all of them.
        """
        replies: list[Any] = []
        for begin in range(0, len(calls), WINDOW):
            window = calls[begin : begin + WINDOW]
            link = self._link
            if link is None:
                replies += [Unavailable("Redis is away", retry_after_s=1) for _ in window]
                continue
            futures = [link.call(("EVALSHA", script.sha, len(keys), *keys, *args)) for keys, args in window]
            for future, (keys, args) in zip(futures, window, strict=True):
                try:
                    replies.append(await future)
                except ReplyError as error:
                    try:
                        if error.kind != "NOSCRIPT":
                            raise self._judge(link, error) from error
                        replies.append(await self.run(script, keys, args))
                    except NotifyError as failure:
                        replies.append(failure)
                except Unavailable as failure:
                    replies.append(failure)
        self._stats.errors["unavailable"] += sum(isinstance(reply, Unavailable) for reply in replies)
        return replies

    def _judge(self, link: Link, error: ReplyError) -> NotifyError:
        if error.kind == "READONLY":
            link.abort("this Redis has become a replica")  # so that the next connection finds the new master
        return translated(error)


def translated(error: ReplyError) -> NotifyError:
    """The error of ours that an error reply stands for."""
    # A script's own error repeats the command's: "ERR ... OOM command not allowed".
    text = str(error)
    if error.kind in RETRYABLE or any(f"{kind} " in text for kind in ("OOM", "READONLY", "MISCONF")):
        return Unavailable(f"Redis does not take writes now: {text}", retry_after_s=1)
    return StoreError(f"Redis refused: {text}")
