"""All commands to Redis go through here; `subscription` is the other connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from notify.domain.errors import NotifyError, Unavailable
from notify.redis import scripts
from notify.redis.commands import Argument, Commands, ReplyError
from notify.redis.connector import Connector
from notify.redis.reconnecting import Reconnecting
from notify.redis.scripts import Script
from notify.redis.stats import RedisStats

WINDOW = 128
"""Script calls of one caller that are under way at once."""

RETRYABLE = frozenset(
    {"OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "NOREPLICAS", "MISCONF", "TRYAGAIN", "UNBLOCKED"}
)
"""Errors by which Redis says that it cannot accept a write now."""
_REFUSED_WRITES = ("OOM", "READONLY", "MISCONF")
"""Those that a script's own error quotes in its text."""
_IN_WORDS = {
    "OOM": "it is at its maxmemory",
    "READONLY": "it is a replica",
    "MISCONF": "it cannot save to its disk",
    "LOADING": "it is still reading its data",
    "MASTERDOWN": "it has lost its master",
    "NOREPLICAS": "too few replicas follow it",
}
"""What a caller is told, who has no use for the error of a script. The log has the whole of it."""
SAY_REFUSALS_EVERY_S = 10.0

log = structlog.get_logger(__name__)


class StoreError(NotifyError):
    """Redis refused a command for a reason that trying again does not change."""

    code, title = "store_error", "The store refused a command"


class Redis:
    """Runs commands and scripts over one pipelined connection that is made again whenever it is lost.

    While it is away every call fails at once with Unavailable, so that no caller hangs; a call that Redis
    does not answer fails within `connector.timeout_s`.
    """

    def __init__(self, connector: Connector, *, stats: RedisStats) -> None:
        self._connector = connector
        self._stats = stats
        self._say_refusals_at = 0.0
        self._finishing: set[asyncio.Task[None]] = set()
        self._kept = Reconnecting(
            self._open, name="redis", on_lost=self._lost, on_failed=self._failed, on_back=self._back
        )

    @property
    def connected(self) -> bool:
        """True while commands can be sent."""
        return self._kept.current is not None and self._kept.current.usable

    @property
    def hosts(self) -> tuple[str, str] | None:
        """The address of this end and that of Redis; None over a unix socket, or while Redis is away."""
        return None if self._kept.current is None else self._kept.current.hosts

    async def start(self) -> None:
        """Connect and load the scripts. Raises Unavailable when that fails; later losses are healed."""
        await self._kept.start()

    async def stop(self) -> None:
        """Close the connection; what still waits fails with Unavailable."""
        await self._kept.stop()
        if self._kept.current is not None:
            self._kept.current.abort("the store is stopping")
            self._kept.current = None
        await self._connector.close()

    async def _open(self) -> Commands:
        _, commands = await self._connector.open(
            Commands(timeout_s=self._connector.timeout_s, stats=self._stats)
        )
        try:
            await asyncio.gather(*(commands.call(("SCRIPT", "LOAD", script.text)) for script in scripts.ALL))
        except ReplyError as error:
            commands.abort("the scripts could not be loaded")
            raise translated(error) from error
        self._stats.connected = True
        return commands

    def _lost(self) -> None:
        self._stats.connected = False

    def _failed(self) -> None:
        self._stats.errors["connect"] += 1

    def _back(self) -> None:
        self._stats.reconnects += 1

    async def execute(self, *command: Argument) -> Any:
        """Run one command; its reply, with strings as bytes. Raises Unavailable or StoreError."""
        commands = self._kept.current
        if commands is None:
            self._stats.errors["unavailable"] += 1
            raise Unavailable("Redis is away", retry_after_s=1)
        try:
            return await commands.call(command)
        except ReplyError as error:
            self._stats.errors["refused"] += 1
            raise self._judge(commands, error) from error
        except Unavailable:
            self._stats.errors["unavailable"] += 1
            raise

    async def publish(self, topic: str, message: bytes) -> None:
        """Publish on a pub/sub channel; returns when Redis has done so. Raises Unavailable or StoreError."""
        await self.execute("PUBLISH", topic, message)

    def post(self, *command: Argument) -> None:
        """Send a command whose reply nobody waits for. Losing it must do no harm."""
        if self._kept.current is not None:
            self._kept.current.call(command).add_done_callback(self._posted)

    def _posted(self, reply: asyncio.Future[Any]) -> None:
        if not reply.cancelled() and reply.exception() is not None:
            self._stats.errors["unavailable"] += 1

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script; its reply. Raises Unavailable or StoreError. Nothing was written on StoreError."""
        commands = self._kept.current
        if commands is None:
            self._stats.errors["unavailable"] += 1
            raise Unavailable("Redis is away", retry_after_s=1)
        try:
            try:
                return await commands.call(("EVALSHA", script.sha, len(keys), *keys, *args))
            except ReplyError as error:
                if error.kind != "NOSCRIPT":
                    raise
                # flushed, or another server took over since the scripts were loaded
                return await commands.call(("EVAL", script.text, len(keys), *keys, *args))
        except ReplyError as error:
            self._stats.errors["refused"] += 1
            raise self._judge(commands, error) from error
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
            commands = self._kept.current
            if commands is None:
                replies += [Unavailable("Redis is away", retry_after_s=1) for _ in window]
                continue
            futures = [
                commands.call(("EVALSHA", script.sha, len(keys), *keys, *args)) for keys, args in window
            ]
            for future, (keys, args) in zip(futures, window, strict=True):
                try:
                    replies.append(await future)
                except ReplyError as error:
                    replies.append(await self._again(commands, error, script, keys, args))
                except Unavailable as failure:
                    replies.append(failure)
        self._stats.errors["unavailable"] += sum(isinstance(reply, Unavailable) for reply in replies)
        return replies

    def run_soon(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        done: Callable[[Any], None],
    ) -> None:
        """Run a script; `done` is called with its reply, or with the NotifyError in its place.

        That may be before this returns. It is the way of `run_many` for one call that nobody awaits.
        """
        commands = self._kept.current
        if commands is None:
            self._stats.errors["unavailable"] += 1
            done(Unavailable("Redis is away", retry_after_s=1))
            return

        def replied(reply: Any) -> None:
            if isinstance(reply, ReplyError):
                self._finish(commands, reply, script, keys, args, done)
                return
            if isinstance(reply, Unavailable):
                self._stats.errors["unavailable"] += 1
            done(reply)

        commands.call_back(("EVALSHA", script.sha, len(keys), *keys, *args), replied)

    def _finish(
        self,
        commands: Commands,
        error: ReplyError,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        done: Callable[[Any], None],
    ) -> None:
        async def finish() -> None:
            done(await self._again(commands, error, script, keys, args))

        task = asyncio.get_running_loop().create_task(finish())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _again(
        self,
        commands: Commands,
        error: ReplyError,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
    ) -> Any:
        """What becomes of a script call that was answered with an error: its reply, or the NotifyError."""
        try:
            if error.kind != "NOSCRIPT":
                raise self._judge(commands, error) from error
            return await self.run(script, keys, args)
        except NotifyError as failure:
            return failure

    def _judge(self, commands: Commands, error: ReplyError) -> NotifyError:
        if error.kind == "READONLY":
            # So that the next connection finds the new master.
            commands.abort("this Redis has become a replica")
        found = translated(error)
        if isinstance(found, Unavailable):
            self._note_refusal(error, commands.now)
        return found

    def _note_refusal(self, error: ReplyError, now: float) -> None:
        """Count it, and log it now and then: every caller gets the same error as long as it lasts."""
        reason = next((kind for kind in _REFUSED_WRITES if f"{kind} " in f"{error} "), error.kind)
        self._stats.writes_refused[reason] += 1
        if now >= self._say_refusals_at:
            self._say_refusals_at = now + SAY_REFUSALS_EVERY_S
            log.error("redis_refuses_writes", reason=str(error), refused=self._stats.writes_refused.total())


def translated(error: ReplyError) -> NotifyError:
    """The error of ours that an error reply stands for."""
    # A script's own error repeats the command's: "ERR ... OOM command not allowed".
    text = str(error)
    if error.kind in RETRYABLE or any(f"{kind} " in text for kind in _REFUSED_WRITES):
        reason = next((words for kind, words in _IN_WORDS.items() if f"{kind} " in f"{text} "), "it is busy")
        return Unavailable(f"Redis does not accept writes now: {reason}", retry_after_s=1)
    log.error("redis_refused_command", reason=text)
    return StoreError("Redis refused a command; the log of this node says which error it gave")
