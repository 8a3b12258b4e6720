"""What every test may ask for: real servers, real nodes, tokens."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests import tokens
from tests.cluster import Cluster
from tests.valkey import Valkey

# A shell that starts the tests in the background has them ignore SIGINT, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(_shared_valkey: Valkey) -> Iterator[Valkey]:
    """An empty Valkey (`.url`, `.tcp_url`, `.client()`). Leave it running: `own_valkey` is for killing.

    Fails a test that leaves behind a key that would stay for ever.
    """
    _shared_valkey.flush()
    yield _shared_valkey
    left = _shared_valkey.eternal_keys()
    assert not left, f"keys without a time to live: {left}"


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey for this test alone, which may `kill()`, `stop()` and `start()` it."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(scope="session")
def _shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(3, directory=tmp_path_factory.mktemp("cluster"))
    try:
        asyncio.run(cluster.start())
        yield cluster
    finally:
        asyncio.run(cluster.stop())


@pytest.fixture
async def cluster(_shared_cluster: Cluster) -> AsyncIterator[Cluster]:
    """Three running nodes (`.nodes[0].url`, `.post(...)`), shared by all tests: use names of your own.

    What a test killed is started again for the next one. For other settings, or another Redis, make one:
    `async with Cluster(2, directory=tmp_path, environ={"NOTIFY_PING_INTERVAL": "1"}) as cluster:`
    """
    await _shared_cluster.start()
    yield _shared_cluster
    if _shared_cluster.valkey.running:
        left = _shared_cluster.valkey.eternal_keys()
        assert not left, f"keys without a time to live: {left}"


_counter = itertools.count(1)


@pytest.fixture
def unique() -> str:
    """A word of this test alone, for names of users and rooms on the shared cluster."""
    return f"t{next(_counter)}"


mint = pytest.fixture(lambda: tokens.mint, name="mint")
