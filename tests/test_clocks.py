"""Nodes whose clocks are wrong: all deadlines are made and judged by the clock of Redis."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster, Node
from tests.support.faketime import clock_off_by
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def apart(tmp_path):
    """Two nodes: one an hour behind, one an hour ahead."""
    async with Cluster(0, directory=tmp_path) as cluster:
        for offset in ("-1h", "+1h"):
            cluster.add(**clock_off_by(offset))
        await cluster.start()
        yield cluster


async def test_the_nodes_clocks_are_wrong_and_they_know(apart: Cluster):
    behind, ahead = apart.nodes
    assert await behind.metric("notify_clock_ahead_seconds") == pytest.approx(-3600, abs=5)
    assert await ahead.metric("notify_clock_ahead_seconds") == pytest.approx(3600, abs=5)


async def test_what_was_accepted_is_stamped_and_recovered(apart: Cluster):
    async with JavaScript() as javascript:
        for number, node in enumerate(apart.nodes):
            client = await javascript.connect(
                node.url, auth={"token": mint(f"user-{number}")}, transports=["websocket"]
            )
            await client.wait("connect")
            after = len(client.log)
            await client.cut()
            await client.wait("disconnect", after=after)
            for poster in apart.nodes:
                status, answer = await poster.post(
                    {"to": {"user": f"user-{number}"}, "title": poster.name, "ttl": 60}
                )
                assert status == 202
                created = datetime.fromisoformat(answer["created_at"]).timestamp()
                expires = datetime.fromisoformat(answer["expires_at"]).timestamp()
                assert abs(created - time.time()) < 10
                assert expires - created == pytest.approx(60)
            again = await client.wait("connect", after=after)
            assert again["recovered"] is True
            titles = [args[0]["title"] for name, args in client.events if name == "notification"]
            assert titles == [poster.name for poster in apart.nodes]


@pytest.mark.parametrize("asked", [0, 1])
async def test_a_revocation_holds_everywhere_and_newer_tokens_are_good(apart: Cluster, asked: int):
    old = mint("ada")
    status, answer = await apart.nodes[asked].request(
        "POST", "/v1/users/ada/disconnect", json={"revoke": True}
    )
    assert (status, answer["revoked"]) == (200, True)
    revoked_at = time.time()
    for node in apart.nodes:
        assert await code(node, old) == "token_revoked"
    async with asyncio.timeout(30):
        while int(time.time()) <= int(revoked_at):
            await asyncio.sleep(0.05)
    for node in apart.nodes:
        assert await code(node, mint("ada")) is None


async def test_tokens_end_when_they_say(apart: Cluster):
    for node in apart.nodes:
        assert await code(node, mint("ada", expires_in_s=60)) is None
        assert await code(node, mint("ada", expires_in_s=-1)) == "token_expired"
        assert await code(node, mint("ada", nbf=int(time.time()) + 30)) == "token_invalid"
        assert await code(node, mint("ada", iat=int(time.time()) + 5)) is None  # the leeway of issuers
        client = await RawClient.connect(node.url, {"token": mint("ada", expires_in_s=3)})
        assert not (await client.answer())["refused"]
        async with asyncio.timeout(30):
            await client.closed.wait()


async def code(node: Node, token: str) -> str | None:
    """How a token is refused; None when it is not."""
    client = await RawClient.connect(node.url, {"token": token})
    answer = await client.answer()
    await client.close()
    return answer["data"]["code"] if answer["refused"] else None
