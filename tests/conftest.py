"""What every test may ask for: real servers, real nodes, tokens."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support import tokens
from tests.support.cluster import Cluster
from tests.support.valkey import Valkey

# A shell that starts the tests in the background has them ignore SIGINT, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "notify", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("notify")

PLACES = {
    "chaos": "slow",
    "cli/test_against_nodes.py": "slow",
    "cli/test_dev.py": "slow",
    "cli/test_doctor.py": "slow",
    "cli/test_send.py": "slow",
    "cli/test_serve.py": "slow",
    "demo": "browser",
    "docs/test_code_blocks.py": "slow",
    "example": "browser",
    "generators": "slow",
    "inbox_element": "browser",
    "k8s": "k8s",
    "operators": "slow",
    "packaging": "slow",
}
"""Folders and files whose tests all need the same thing."""
QUICK = {"test_library_shapes.py"}
"""All others that stand beside this file tell a story of whole nodes, which takes its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs more than Python, so that `make check` can leave it out.

    A module that holds something of `tests.support.clients.javascript` starts Node.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        path = item.path.relative_to(Path(__file__).parent)
        for place in (path, *path.parents):
            if (marker := PLACES.get(place.as_posix())) is not None:
                item.add_marker(marker)
        if len(path.parts) == 1 and path.name not in QUICK:
            item.add_marker("slow")
        if any(
            getattr(value, "__module__", None) == "tests.support.clients.javascript"
            for value in vars(item.module).values()
        ):
            item.add_marker("node")
    # What takes long goes first, so that at the end no process works through a long file alone.
    items.sort(key=lambda item: not any(map(item.get_closest_marker, ("slow", "browser", "k8s", "node"))))


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
