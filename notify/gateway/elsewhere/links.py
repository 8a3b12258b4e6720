"""The links to the other nodes: one to each, made when it is first needed."""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
import structlog

from notify.gateway.elsewhere.link import HEARTBEAT_S, Link, LinkLost
from notify.gateway.stats import GatewayStats
from notify.protocol.links import FORMER, PATH, VERSION

CONNECT_S = 1.0
"""How long a node may take to answer: it is near, and a client waits."""
FAILED_S = 1.0
"""How long a node that could not be reached is not tried again."""

log = structlog.get_logger(__name__)


class Directory(Protocol):
    """Where the other nodes are (`backplane.directory.Directory`)."""

    @property
    def secret(self) -> str:
        """What this node proves itself with."""

    def find(self, mark: str) -> str | None:
        """The address of a living node, such as `http://10.0.0.7:8081`."""

    async def look_again(self) -> None:
        """Ask Redis for what has changed."""


class NoSuchNode(Exception):
    """No living node has this mark."""


class Links:
    """Opens links and keeps them."""

    def __init__(self, directory: Directory, stats: GatewayStats) -> None:
        self._directory = directory
        self._stats = stats
        self._session: aiohttp.ClientSession | None = None
        self._links: dict[str, Link] = {}
        self._opening: dict[str, asyncio.Task[Link]] = {}
        self._failed: dict[str, float] = {}
        self._retired: set[Link] = set()

    async def to(self, mark: str) -> Link:
        """The link to the node with this mark. Raises NoSuchNode, LinkLost."""
        link = self._links.get(mark)
        if link is not None and link.stands and link.secret == self._directory.secret:
            return link
        task = self._opening.get(mark)
        if task is None:
            task = self._opening[mark] = asyncio.create_task(self._open(mark), name=f"link-to-{mark}")
            task.add_done_callback(lambda done: self._opened(mark, done))
        return await asyncio.shield(task)  # who waits may go; the others still want the link

    async def aclose(self) -> None:
        """Close all of them; the calls under way fail."""
        tasks = list(self._opening.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        links = [*self._links.values(), *self._retired]
        await asyncio.gather(*(link.aclose() for link in links))
        if self._session is not None:
            await self._session.close()

    def _opened(self, mark: str, done: asyncio.Task[Link]) -> None:
        del self._opening[mark]
        if not done.cancelled():
            done.exception()  # whoever still waits is told; it is no fault that nobody does

    async def _open(self, mark: str) -> Link:
        directory = self._directory
        if directory.find(mark) is None:
            await directory.look_again()
        url = directory.find(mark)
        if url is None:
            self._forget(mark)
            raise NoSuchNode(mark)
        loop = asyncio.get_running_loop()
        if loop.time() < self._failed.get(mark, 0.0):
            raise LinkLost("The session's node could not be reached a moment ago")
        try:
            link = await self._connect(mark, url)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            self._failed[mark] = loop.time() + FAILED_S
            log.warning("node_unreachable", address=url, reason=str(error) or type(error).__name__)
            raise LinkLost("The session's node cannot be reached") from error
        self._failed.pop(mark, None)
        former = self._links.get(mark)
        if former is not None and former.stands:
            self._retired = {link for link in self._retired if link.stands} | {former}
            former.retire()
        self._links[mark] = link
        return link

    async def _connect(self, mark: str, url: str) -> Link:
        """Raises OSError, ClientError, TimeoutError."""
        directory = self._directory
        try:
            return await self._shake_hands(mark, url, directory.secret)
        except aiohttp.WSServerHandshakeError as error:
            if error.status != 401:
                raise
        await directory.look_again()  # the secret was replaced a moment ago
        return await self._shake_hands(mark, url, directory.secret)

    async def _shake_hands(self, mark: str, url: str, secret: str) -> Link:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
            )
        async with asyncio.timeout(CONNECT_S):
            websocket = await self._session.ws_connect(
                url + PATH,
                params={"mark": mark},
                headers={"Authorization": f"Bearer {secret}"},
                protocols=(VERSION, FORMER),
                heartbeat=HEARTBEAT_S,
                compress=0,
                max_msg_size=0,  # the other node is one of us
            )
        if websocket.protocol not in (VERSION, FORMER):
            await websocket.close()
            raise aiohttp.ClientError("The session's node speaks another version")
        return Link(websocket, mark=mark, secret=secret, stats=self._stats)

    def _forget(self, mark: str) -> None:
        self._failed.pop(mark, None)
        link = self._links.pop(mark, None)
        if link is not None and link.stands:
            self._retired.add(link)
            link.retire()
