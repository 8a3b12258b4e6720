"""`notify doctor` at healthy and at broken installations: real servers, nodes and proxies that misbehave."""

from __future__ import annotations

import itertools
import resource
from pathlib import Path
from typing import Any

import pytest

from notify.cli.checks.redis_check import judged_clock
from tests.chaos.proxy import Proxy
from tests.cli.test_against_nodes import notify
from tests.operators.servers import Server
from tests.python_client.server import Answer, serving
from tests.support.cluster import Cluster
from tests.support.ports import free_port
from tests.support.tokens import JWT_SECRET, mint

pytestmark = pytest.mark.timeout(120)


def faults(printed: str) -> list[str]:
    return [line.removeprefix("fault").strip() for line in printed.splitlines() if line.startswith("fault")]


def warnings(printed: str) -> list[str]:
    return [
        line.removeprefix("warning").strip() for line in printed.splitlines() if line.startswith("warning")
    ]


async def test_where_all_is_well_it_says_so_and_checks_everything(cluster: Cluster, unique: str):
    node = cluster.nodes[0]
    arguments = ["--url", node.url, "--origin", node.url]
    environ = {"JWT_SECRET": JWT_SECRET, "REDIS_URL": cluster.valkey.url, "MAX_CONNECTIONS": "100"}
    code, printed, errors = await notify("doctor", *arguments, TOKEN=mint(unique), **environ)
    assert (code, errors, faults(printed), warnings(printed)) == (0, "", [], [])
    for said in (
        "Redis answers at unix://",
        "maxmemory-policy noeviction",
        "append-only file",
        "Redis' clock and this machine's clock agree",
        f"The token is valid: user '{unique}', for another 60 minutes",
        f"Websockets get through {node.url}",
        "The node accepts the token",
        "Long-polling works",
        f"Pages from {node.url} can connect",
        "Processes started from here may open",
        "no faults, no warnings.",
    ):
        assert said in printed
    assert "Not checked" not in printed


async def test_what_is_not_configured_is_not_checked_and_no_fault(tmp_path: Path):
    code, printed, _ = await notify("doctor", MAX_CONNECTIONS="100", DATA_DIR=str(tmp_path))
    assert (code, faults(printed)) == (0, [])
    (line,) = [line for line in printed.splitlines() if line.startswith("Not checked")]
    for what in ("NOTIFY_REDIS_URL", "--token", "--url", "--origin"):
        assert what in line
    assert "Redis answers" not in printed


async def test_wrong_settings_are_faults_by_their_names():
    code, printed, _ = await notify("doctor", PORT="x", REDSI_URL="y")
    assert code == 1
    assert faults(printed) == [
        "NOTIFY_REDSI_URL: There is no such setting. Did you mean NOTIFY_REDIS_URL?",
        "NOTIFY_PORT: Not a valid integer.",
    ]


async def test_a_redis_that_breaks_promises(tmp_path: Path):
    lines = ("maxmemory-policy allkeys-lru", "appendonly no", "requirepass right-password")
    with Server(tmp_path / "redis", *lines, password="right-password") as server:
        url = f"redis://:right-password@127.0.0.1:{server.port}/0"
        code, printed, _ = await notify("doctor", REDIS_URL=url)
        assert code == 1
        (found,) = faults(printed)
        assert "maxmemory-policy allkeys-lru" in found
        server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        code, printed, _ = await notify("doctor", REDIS_URL=url, MAX_CONNECTIONS="100")
        assert (code, faults(printed)) == (0, []), "a warning is no fault"
        (found,) = warnings(printed)
        assert "appendonly yes" in found
        for wrong in (
            f"redis://:wrong-password@127.0.0.1:{server.port}/0",
            f"redis://127.0.0.1:{server.port}/0",
        ):
            code, printed, _ = await notify("doctor", REDIS_URL=wrong)
            assert code == 1
            (found,) = faults(printed)
            assert "the user, password and database in NOTIFY_REDIS_URL" in found
            assert "wrong-password" not in printed
    code, printed, _ = await notify("doctor", REDIS_URL=url)
    assert code == 1
    assert "cannot be reached" in faults(printed)[0]
    assert "right-password" not in printed


def test_clocks():
    assert judged_clock(0.4, spread_s=0.1, whose="Redis'").severity == "ok"
    assert judged_clock(1.5, spread_s=1.0, whose="Redis'").severity == "ok", "within what can be told"
    behind = judged_clock(3.2, spread_s=0.0, whose="Redis'")
    assert (behind.severity, "3.2 s behind Redis'" in behind.sentence) == ("warning", True)
    ahead = judged_clock(-90, spread_s=0.0, whose="Redis'")
    assert (ahead.severity, "90.0 s ahead of Redis'" in ahead.sentence) == ("fault", True)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"expires_in_s": -60}, "token_expired"),
        ({"secret": "another secret of the tests, 32 bytes"}, "any of the keys"),
        ({"aud": "others"}, "NOTIFY_JWT_AUDIENCE"),
        ({"sub": 42}, "in quotes"),
    ],
)
async def test_a_token_that_is_refused_is_told_why(claims: dict[str, Any], says: str):
    code, printed, _ = await notify("doctor", TOKEN=mint("42", **claims), JWT_SECRET=JWT_SECRET)
    assert code == 1
    assert says in faults(printed)[0]


async def test_a_revoked_token_is_refused_by_the_node_alone(cluster: Cluster, unique: str):
    token = mint(unique)
    await cluster.nodes[1].request("POST", f"/v1/users/{unique}/disconnect", json={"revoke": True})
    code, printed, _ = await notify("doctor", "--url", cluster.nodes[0].url, TOKEN=token)
    assert code == 1
    assert "token_revoked" in faults(printed)[0]


async def test_a_proxy_that_keeps_websockets_back(cluster: Cluster):
    with serving(node=cluster.nodes[0].url) as proxy:  # an HTTP proxy that knows nothing of Upgrade
        code, printed, _ = await notify("doctor", "--url", proxy.url)
    assert code == 1
    (found,) = faults(printed)
    assert found.startswith(f"Websockets do not get through {proxy.url}: the answer is 426, not 101.")
    assert "Long-polling works" in printed


async def through(cluster: Cluster, *others: Cluster) -> tuple[int, str]:
    """What it says of a proxy that takes the nodes in turn; the exit code first."""
    ports = itertools.cycle(node.port for one in (cluster, *others) for node in one.nodes)
    proxy = Proxy(lambda _: [next(ports)])
    await proxy.start()
    try:
        code, printed, _ = await notify("doctor", "--url", f"http://127.0.0.1:{proxy.port}")
    finally:
        await proxy.stop()
    assert "Websockets get through" in printed
    return code, printed


async def test_a_proxy_need_not_be_sticky(cluster: Cluster):
    code, printed = await through(cluster)
    assert (code, faults(printed)) == (0, [])


async def test_a_proxy_that_leads_to_nodes_of_two_clusters(cluster: Cluster, tmp_path: Path):
    async with Cluster(1, directory=tmp_path) as other:
        code, printed = await through(cluster, other)
    assert code == 1
    (found,) = faults(printed)
    assert "NOTIFY_ADVERTISE_URL" in found


async def test_origins_are_asked_of_the_node_or_of_the_settings(cluster: Cluster):
    page = ("--origin", "https://app.example.com")
    code, printed, _ = await notify("doctor", "--url", cluster.nodes[0].url, *page)
    assert (code, "NOTIFY_CORS_ORIGINS" in faults(printed)[0]) == (1, True)
    code, printed, _ = await notify("doctor", *page, CORS_ORIGINS="https://other.example.com")
    assert (code, "NOTIFY_CORS_ORIGINS" in faults(printed)[0]) == (1, True)
    code, printed, _ = await notify("doctor", *page, CORS_ORIGINS="https://app.example.com:443")
    assert (code, faults(printed)) == (0, [])
    code, _, errors = await notify("doctor", "--origin", "app.example.com")
    assert (code, "an origin looks like" in errors) == (2, True)


@pytest.mark.parametrize("step", [Answer(404), Answer(200, b"<html>")], ids=["404", "another page"])
async def test_something_else_at_the_public_address(step: Answer):
    with serving(then=step) as server:
        code, printed, _ = await notify("doctor", "--url", server.url)
    assert code == 1
    assert "which no node does" in faults(printed)[0]


async def test_nobody_at_the_public_address():
    code, printed, _ = await notify("doctor", "--url", f"http://127.0.0.1:{free_port()}")
    assert (code, "cannot be reached" in faults(printed)[0]) == (1, True)


async def test_too_few_descriptors_are_a_warning():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code, printed, _ = await notify("doctor", MAX_CONNECTIONS=str(hard))
    assert code == 0
    (found,) = warnings(printed)
    assert f"may open {hard} files" in found
    assert "NOTIFY_MAX_CONNECTIONS" in found
