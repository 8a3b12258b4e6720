"""Leaving nothing of a user in Redis."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import structlog

from notify.domain.channel import Channel, owner_of
from notify.domain.notifications.plan import Plan
from notify.redis import scripts
from notify.redis.client import Redis
from notify.redis.commands import Argument
from notify.store.clock import fresh_epoch
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.notifications.record import header, without
from notify.store.notifications.retractions import Retractions
from notify.store.session import Session

FORGET = scripts.load("notify.store", "record_forget", preamble="inbox")
REPLACE = scripts.load("notify.store", "plan_replace")

SCANNED = 1000
"""Keys that one call looks at: Redis is busy with it for less than 1 ms."""
PIECE = 200
"""Keys that are read or dropped at the same time."""
HEADER_BYTES = 2048
"""Nearly all records say within these whom they concern."""
TRIES = 100
WAIT_S = 0.05
"""Between the tries of what is just being delivered."""

log = structlog.get_logger(__name__)


class Erasure:
    """Walks through all keys once, since a user may be named in any: seconds, where there are millions.

    What stays is the mark of revoked tokens, which does not name the user, and in logs of others, until these
    end, the user as one who was left out of a message, or who sent it. Once more finds nothing, and is no
    error. All calls raise Unavailable.
    """

    def __init__(self, redis: Redis, keys: Keys, *, inbox: Inbox, retractions: Retractions) -> None:
        self._redis = redis
        self._keys = keys
        self._inbox = inbox
        self._retractions = retractions
        self._record = re.compile(re.escape(keys.records) + r"([0-9A-Z]{26})\}(|:to|:plan)")

    async def erase(self, user: str) -> None:
        """To be called when no connection of the user is left, and none can come back."""
        keys = self._keys
        # Plans first: what is delivered until they are changed is found by what follows.
        async for names in self._scan(f"{keys.records}*:plan"):
            await self._in_pieces([name for name in names if self._suffix(name) == ":plan"], self._plan, user)
        await self._inbox.erase(user)
        async for names in self._scan(f"{keys.prefix}:*"):
            await self._drop([name for name in names if self._is_own_log(name, user)])
            sessions = [name for name in names if name.startswith(keys.sessions)]
            await self._in_pieces(sessions, self._session, user)
            records = {name.removesuffix(":to") for name in names if self._suffix(name) in ("", ":to")}
            await self._in_pieces(sorted(records), self._forget, user)
        await self._drop([keys.seen(user), keys.orders(user), keys.revoked_by_name(user)])

    async def _scan(self, pattern: str) -> AsyncIterator[list[str]]:
        cursor = b"0"
        literal = pattern.replace("[", "\\[").replace("?", "\\?")
        while True:
            cursor, names = await self._redis.execute("SCAN", cursor, "MATCH", literal, "COUNT", SCANNED)
            yield [name.decode() for name in names]
            if cursor == b"0":
                return

    async def _in_pieces(self, names: Sequence[str], each: Any, user: str) -> None:
        for begin in range(0, len(names), PIECE):
            await asyncio.gather(*(each(name, user) for name in names[begin : begin + PIECE]))

    async def _drop(self, names: Sequence[str]) -> None:
        for begin in range(0, len(names), PIECE):
            await self._redis.execute("UNLINK", *names[begin : begin + PIECE])

    def _suffix(self, name: str) -> str | None:
        found = self._record.fullmatch(name)
        return found[2] if found else None

    def _is_own_log(self, name: str, user: str) -> bool:
        for prefix in (self._keys.log_prefix, self._keys.last_prefix):
            if name.startswith(prefix):
                return _is_own(name.removeprefix(prefix), user)
        return False

    async def _session(self, name: str, user: str) -> None:
        stored = await self._redis.execute("GET", name)
        try:
            mine = stored is not None and Session.decode(stored).user == user
        except ValueError:
            return
        if mine:
            await self._redis.execute("UNLINK", name)

    async def _forget(self, name: str, user: str) -> None:
        """Take the user out of a record, and out of the list beside it."""
        for _ in range(TRIES):
            stored = await self._redis.execute("GETRANGE", name, 0, HEADER_BYTES - 1)
            if len(stored) == HEADER_BYTES and header(stored) is None:
                stored = await self._redis.execute("GET", name) or b""
            was = header(stored) or b""
            becomes, alone = without(was, lambda address: _is_own(address, user), user)
            changed: list[Argument] = ["", "", 0] if becomes == was else [was, becomes, int(alone)]
            if await self._redis.run(FORGET, [self._keys.clock, name], [fresh_epoch(), user, *changed]):
                return
        log.warning("record_not_changed", key=name)

    async def _plan(self, name: str, user: str) -> None:
        """Take the user out of what is scheduled; what is left without anybody is cancelled."""
        id_ = f"ntf_{name.removeprefix(self._keys.records)[:26]}"
        for _ in range(TRIES):
            kept = await self._redis.execute("GET", name)
            if kept is None or orjson.dumps(user)[1:-1] not in kept:
                return
            try:
                plan = Plan.decode(kept)
            except ValueError:  # of a newer version, whose nodes are being rolled out: they are to be asked
                log.warning("plan_not_understood", id=id_)
                return
            becomes = _plan_without(plan, user)
            if becomes is None:
                if await self._retractions.begin(id_) == "begun":
                    await self._retractions.finish(id_)
                return
            if becomes == plan:
                return
            if await self._redis.run(REPLACE, [name, self._keys.sent(id_)], [kept, becomes.encode()]):
                return
            await asyncio.sleep(WAIT_S)  # it is being delivered just now, and is gone then
        log.warning("plan_not_changed", id=id_)


def _is_own(address: str, user: str) -> bool:
    """True for the address of a channel that is this user's alone."""
    try:
        channel = Channel.parse(address)
    except ValueError:
        return False
    return (channel.kind == "user" and channel.name == user) or owner_of(channel.namespace) == user


def _plan_without(plan: Plan, user: str) -> Plan | None:
    """The plan without the user, None when it is for nobody else."""
    notification = plan.notification
    target = notification.target
    target = target._replace(
        users=tuple(one for one in target.users if one != user),
        except_users=target.except_users - {user},
    )
    nobody = not (target.users or target.rooms or target.all)
    if nobody or owner_of(notification.namespace) == user:
        return None
    return replace(plan, notification=notification._replace(target=target))
