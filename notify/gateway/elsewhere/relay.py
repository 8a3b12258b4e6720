"""Long-polling of sessions that other nodes have: passed on over a link, with the same answers as there."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from notify.gateway.elsewhere.link import Answer, Link, LinkLost
from notify.gateway.elsewhere.links import Links, NoSuchNode
from notify.gateway.engineio.transports.polling import BrokenBody, Poll, Post, TooLarge
from notify.gateway.http.errors import BAD_REQUEST, UNKNOWN_SID, Refused
from notify.gateway.stats import GatewayStats
from notify.protocol.engineio import joined
from notify.protocol.links import NO_CALL, Kind

CLOSING_POLL_S = 1.0
"""While this node closes, a poll without packets is held for so long."""


class Relay:
    """Answers for the sessions of other nodes (`engineio.http_edge.Node`).

    Whatever keeps a session's node from answering is answered like a session that nobody knows: the client
    comes back, and recovers.
    """

    def __init__(
        self,
        links: Links,
        *,
        stats: GatewayStats,
        mark_length: int,
        sid_length: int,
        max_body_bytes: int,
        most: int,
        timeout_s: float,
    ) -> None:
        """`most`: requests that may be passed on at once. `timeout_s`: what the answer to one may take."""
        self._links = links
        self._stats = stats
        self._mark_length = mark_length
        self._sid_length = sid_length
        self._max_body_bytes = max_body_bytes
        self._most = most
        self._timeout_s = timeout_s
        self._calls: set[tuple[Link, int, str]] = set()
        """Under way: over which link, under which number, about which session."""
        self._closing = False

    async def poll(self, sid: str, poll: Poll) -> bytes:
        """The body of the answer to a GET, once its session's node has one. Raises `Refused`."""
        link = await self._link_for("poll", sid)
        answer: Answer = asyncio.get_running_loop().create_future()
        poll.watch(answer)
        body = await self._call("poll", link, sid, answer, Kind.POLL)
        if poll.gone:
            await self._tell_gone(link, sid)
            raise Refused(BAD_REQUEST)
        return body

    async def post(self, sid: str, post: Post) -> None:
        """Have a session's node take what was posted. Raises `Refused`."""
        link = await self._link_for("post", sid)
        kind, body = Kind.POST, b""
        try:
            if post.binary:
                kind = Kind.BAD_POST
            else:
                body = await post.read(self._max_body_bytes)
        except TooLarge:
            raise Refused(BAD_REQUEST, "Payload too large", status=413) from None
        except BrokenBody:
            kind = Kind.BAD_POST
        except (ConnectionError, asyncio.CancelledError) as error:
            await self._tell_gone(link, sid)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Refused(BAD_REQUEST) from error
        answer: Answer = asyncio.get_running_loop().create_future()
        await self._call("post", link, sid, answer, kind, body)

    async def close_soon(self) -> None:
        """Have the GETs that wait answered, with what there is: their clients come back by another node.

        From now on none waits for longer than `CLOSING_POLL_S`.
        """
        self._closing = True
        for link, number, sid in list(self._calls):
            with suppress(LinkLost):
                await link.send(Kind.RELEASE, number, sid)

    async def _link_for(self, what: str, sid: str) -> Link:
        if len(sid) != self._sid_length or not sid.isascii():
            raise Refused(UNKNOWN_SID)
        if len(self._calls) >= self._most:
            self._stats.passed_on[what, "too_many"] += 1
            raise Refused(BAD_REQUEST, "Too many requests are passed on", status=503)
        try:
            return await self._links.to(sid[: self._mark_length])
        except NoSuchNode:
            self._stats.passed_on[what, "no_node"] += 1
        except LinkLost:
            self._stats.passed_on[what, "unreachable"] += 1
        raise Refused(UNKNOWN_SID)

    async def _call(
        self, what: str, link: Link, sid: str, answer: Answer, kind: Kind, body: bytes = b""
    ) -> bytes:
        number = link.begin(answer)
        call = link, number, sid
        self._calls.add(call)
        outcome = "answered"
        release = None
        try:
            async with asyncio.timeout(self._timeout_s):
                await link.send(kind, number, sid, body)
                if self._closing:
                    loop = asyncio.get_running_loop()
                    release = loop.call_later(CLOSING_POLL_S, self._release, link, number, sid)
                found = await answer
                return found if isinstance(found, bytes) else joined(found)
        except Refused:
            outcome = "refused"
            raise
        except LinkLost:
            outcome = "unreachable"
            raise Refused(UNKNOWN_SID) from None
        except (TimeoutError, ConnectionError, asyncio.CancelledError) as error:
            late = isinstance(error, TimeoutError)
            outcome = "late" if late else "gone"
            await self._tell_gone(link, sid, number)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Refused(UNKNOWN_SID if late else BAD_REQUEST) from None
        finally:
            if release is not None:
                release.cancel()
            self._calls.discard(call)
            link.end(number)
            self._stats.passed_on[what, outcome] += 1

    def _release(self, link: Link, number: int, sid: str) -> None:
        task = asyncio.ensure_future(link.send(Kind.RELEASE, number, sid))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _tell_gone(self, link: Link, sid: str, number: int = NO_CALL) -> None:
        with suppress(LinkLost):
            await link.send(Kind.GONE, number, sid)
