"""Inboxes on both kinds of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.operators.servers import Server
from tests.store.inboxes import Inboxes
from tests.support import debian
from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def _redis_7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("redis") / "server"
    with Server(directory, program=debian.program("redis-server", "redis-server")) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(params=["valkey", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """An embedded Valkey, and Debian's Redis 7.0."""
    if request.param == "redis":
        found: str = request.getfixturevalue("_redis_7")
        return found
    valkey: Valkey = request.getfixturevalue("valkey")
    return valkey.tcp_url


@pytest.fixture
async def inboxes(server_url: str) -> AsyncIterator[Inboxes]:
    """Empty inboxes, and ears for what is told of them. Fails a test that leaves a key without a lifetime."""
    async with Inboxes(server_url) as found:
        yield found
        assert await found.eternal_keys() == []


@pytest.fixture(params=["valkey", "redis"])
async def own_inboxes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Inboxes]:
    """Inboxes on a server that a test may fill up or damage."""
    program = debian.program("redis-server", "redis-server") if request.param == "redis" else None
    with Server(tmp_path / "server", program=program) as server:
        async with Inboxes(f"redis://127.0.0.1:{server.port}/0") as found:
            yield found
