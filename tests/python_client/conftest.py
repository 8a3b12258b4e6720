"""Both clients under one roof: each test that takes `connected` runs with `Notify` and with `AsyncNotify`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from notify_client import AsyncNotify, Notify
from tests.support.tokens import API_KEY

Connect = Callable[..., AbstractAsyncContextManager[Any]]


class Awaited:
    """A client whose calls are awaited, whichever of the two it is."""

    def __init__(self, subject: Any) -> None:
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._subject, name)
        if not callable(found):
            return Awaited(found)
        if name == "inbox":
            return lambda *arguments: Awaited(found(*arguments))
        if inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **options: asyncio.to_thread(found, *arguments, **options)


@pytest.fixture(params=[Notify, AsyncNotify], ids=["sync", "async"])
def connected(request: pytest.FixtureRequest) -> Connect:
    """`async with connected(url) as notify: await notify.send(...)`."""

    @asynccontextmanager
    async def connect(url: str, *, api_key: str = API_KEY, **options: Any) -> AsyncIterator[Awaited]:
        client = request.param(url, api_key=api_key, **options)
        try:
            yield Awaited(client)
        finally:
            closed = client.close()
            if inspect.isawaitable(closed):
                await closed

    return connect
