"""What clients may ask of their own inbox: `inbox:list` and `inbox:mark`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from notify.backplane.membership import Member
from notify.domain.errors import FieldError, Forbidden, Invalid, TooMany
from notify.domain.inbox import PAGE_BYTES
from notify.domain.inbox_request import mark_of, query_of
from notify.gateway.sessions.inbox_watch import has_inbox
from notify.service.inboxes import Inboxes, shown_page, shown_result

MAX_LISTS = 4
"""Lists of one connection that are under way at once: a page may be 256 KiB, and waits to be sent."""

Answer = dict[str, Any]


class _Turns:
    """The lists of one connection that are under way, one after the other."""

    __slots__ = ("lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class InboxEvents:
    """The handlers; each raises a NotifyError, which becomes the ack's `error`."""

    def __init__(self, *, inboxes: Inboxes, now_ms: Callable[[], int], send_buffer_limit: int) -> None:
        """`now_ms` is the time by Redis' clock.

        A page takes at most half of what may wait for a connection, and leaves the rest to what comes live.
        """
        self._page_bytes = min(PAGE_BYTES, send_buffer_limit // 2)
        self._inboxes = inboxes
        self._now_ms = now_ms
        self._listing: dict[str, _Turns] = {}

    async def list(self, member: Member, asked: Mapping[str, Any]) -> Answer:
        """A page of the inbox, or `{unchanged: true}` when `if_rev` is what it still has.

        Raises Invalid, Forbidden where there is no inbox, TooMany, Unavailable.
        """
        user = _owner(member)
        query = query_of(asked, also=("if_rev",))
        if_rev = asked.get("if_rev")
        if if_rev is not None and type(if_rev) is not int:
            raise Invalid("/if_rev must be a whole number", errors=[FieldError("/if_rev", "must be a rev")])
        socket = member.socket
        turns = self._listing.setdefault(socket.sid, _Turns())
        if turns.waiting >= MAX_LISTS:
            raise TooMany(f"One connection may have at most {MAX_LISTS} lists under way", retry_after_s=1)
        turns.waiting += 1
        try:
            async with turns.lock:  # a slow reader gets its next page once it has taken the previous one
                await socket.drained()
                page = await self._inboxes.page(user, query, if_rev=if_rev, most_bytes=self._page_bytes)
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._listing[socket.sid]
        return {"unchanged": True} if page.unchanged else shown_page(page, query)

    async def mark(self, member: Member, asked: Mapping[str, Any]) -> Answer:
        """Mark entries; all connections of the user are told, this one too.

        Raises Invalid, Forbidden where there is no inbox, Unavailable.
        """
        user = _owner(member)
        return shown_result(await self._inboxes.mark(user, mark_of(asked, now_ms=self._now_ms())))


def _owner(member: Member) -> str:
    """The user whose inbox a member may ask for: its own, where inboxes are."""
    if not has_inbox(member) or member.user is None:
        raise Forbidden("Inboxes exist only in the namespaces / and /users/<id>")
    return member.user
