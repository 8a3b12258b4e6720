"""Where the other nodes are, and how a node proves to them that it is one."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from notify.backplane.advertised import is_loopback
from notify.domain.addresses import AddressBook
from notify.domain.errors import NotifyError

MARK_BYTES = 3
"""Three random bytes are a mark of four characters that may stand in a URL."""
SAY_EVERY_S = 5.0
SETTLED_S = 25.0
"""What a killed node left behind has run out after this long."""
LOOK_EVERY_S = 0.1

log = structlog.get_logger(__name__)


class Addresses(Protocol):
    """What the directory asks of the store. All raise NotifyError."""

    def say(self, mark: str, url: str, *, first: bool = False) -> Awaitable[AddressBook]:
        """Enter an address; what is known then. With `first`, not if another living node has the mark."""

    def look(self) -> Awaitable[AddressBook]:
        """What is known."""

    def forget(self, mark: str) -> Awaitable[None]:
        """Take a node out."""


class Directory:
    """Says every 5 s where this node is, and knows where the others are.

    What is known is 5 s old at most while Redis answers, and kept while it is away. `url` is asked for the
    address of this node when it starts; `redis_host` for that of Redis, None on a unix socket.
    """

    def __init__(
        self,
        *,
        addresses: Addresses,
        url: Callable[[], str],
        redis_host: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.mark = _fresh_mark()
        """Four characters that stand for this node in what it hands out. Fixed once it has started."""
        self.url = ""
        """The address of this node, once it has started."""
        self.on_secrets: list[Callable[[], None]] = []
        """Called when other secrets are accepted than before."""
        self._addresses = addresses
        self._own_url = url
        self._redis_host = redis_host
        self._book = AddressBook()
        self._task: asyncio.Task[None] | None = None
        self._next_look: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self._looked_at = -LOOK_EVERY_S
        self._warned = False

    @property
    def secret(self) -> str:
        """What this node proves itself with; empty before the start."""
        return self._book.secrets[0] if self._book.secrets else ""

    @property
    def others(self) -> int:
        """How many other nodes live."""
        return len(self._book.addresses) - (self.mark in self._book.addresses)

    def find(self, mark: str) -> str | None:
        """The address of the node with this mark; None when no living one is known to have it."""
        return self._book.addresses.get(mark)

    def accepts(self, secret: bytes | str) -> bool:
        """Whether it proves that a node of this cluster sent it. Takes equally long for every wrong one."""
        given = secret.encode(errors="replace") if isinstance(secret, str) else secret
        fitting = [hmac.compare_digest(given, known.encode()) for known in self._book.secrets]
        return any(fitting)

    async def start(self) -> None:
        """Say where this node is, under a mark that no other living node has. Raises NotifyError."""
        self.url = self._own_url()
        while (book := await self._addresses.say(self.mark, self.url, first=True)).taken:
            self.mark = _fresh_mark()
        self._take(book)
        self._task = asyncio.create_task(self._run(), name="directory")

    async def stop(self) -> None:
        """Take this node out."""
        tasks = [task for task in (self._task, *self._looks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._task is None:
            return
        self._task = None
        try:
            await self._addresses.forget(self.mark)
        except NotifyError as error:
            log.warning("address_not_taken_out", reason=error.detail)  # it runs out by itself

    async def look_again(self) -> None:
        """Returns when what is known is from after this call, or could not be read.

        Redis is asked once for all who call at a time, and once each 100 ms at most: callers wait for that.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look(), name="directory-look")
            self._looks.add(self._next_look)
            self._next_look.add_done_callback(self._looks.discard)
        await asyncio.wait({self._next_look})

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if (early_s := self._looked_at + LOOK_EVERY_S - loop.time()) > 0:
            await asyncio.sleep(early_s)
        # Whoever asks from here on may know of a node that this look does not see any more.
        self._next_look = None
        self._looked_at = loop.time()
        try:
            self._take(await self._addresses.look())
        except NotifyError as error:
            log.warning("addresses_not_read", reason=error.detail)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            try:
                self._take(await self._addresses.say(self.mark, self.url))
            except NotifyError as error:
                log.warning("address_not_said", reason=error.detail)
                continue
            if loop.time() - began >= SETTLED_S:
                self._warn_of_loopback()

    def _take(self, book: AddressBook) -> None:
        changed = set(book.secrets) != set(self._book.secrets)
        self._book = book
        if not changed:
            return
        for told in self.on_secrets:
            try:
                told()
            except Exception:  # it must not end the task that says where this node is
                log.exception("secrets_not_taken")

    def _warn_of_loopback(self) -> None:
        host, redis_host = urlsplit(self.url).hostname or "", self._redis_host()
        if self._warned or not self.others or redis_host is None:
            return
        if is_loopback(host) and not is_loopback(redis_host):
            self._warned = True
            log.warning(
                "address_is_loopback",
                address=self.url,
                advice="Other nodes cannot reach this one: set NOTIFY_INTERNAL_HOST to an address of this "
                "machine's network, or NOTIFY_ADVERTISE_URL.",
            )


def _fresh_mark() -> str:
    return secrets.token_urlsafe(MARK_BYTES)
