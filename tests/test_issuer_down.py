"""The issuer of keys is down while a node restarts: the node says so, and no client stays away for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.gateway.issuer import Issuer, jwk, rsa_key, served, token
from tests.support.clients.javascript import JavaScript
from tests.support.cluster import Cluster
from tests.support.valkey import Valkey

pytestmark = pytest.mark.timeout(120)


async def test_clients_come_by_themselves_once_the_issuer_is_back(valkey: Valkey, tmp_path: Path):
    issuer = Issuer()
    issuer.keys = [jwk(rsa_key(), "one")]
    async with served(issuer):
        port = int(issuer.url.rpartition(":")[2].partition("/")[0])
    environ = {"NOTIFY_JWT_SECRET": "", "NOTIFY_JWT_JWKS_URL": issuer.url}
    good = token(rsa_key(), kid="one")
    async with (
        Cluster(1, directory=tmp_path, valkey=valkey, environ=environ) as cluster,
        JavaScript() as javascript,
    ):
        (node,) = cluster.nodes
        status, body = await node.request("GET", "/readyz")
        assert (status, body["status"], body["reasons"]) == (200, "ready", [])
        assert [note["code"] for note in body["notes"]] == ["no_token_keys"]
        assert await node.metric("notify_token_keys_known") == 0
        clients = [
            await javascript.connect(
                node.url, auth={"token": good}, transports=[transport], reconnectionDelayMax=500
            )
            for transport in ("websocket", "polling")
        ]
        for client in clients:
            assert (await client.wait("disconnect"))["active"] is True  # it tries again by itself
        async with served(issuer, port):
            for client in clients:
                await client.wait("connect", timeout_s=20)
                assert not any(line["data"] for line in client.said("connect_error"))
        _, body = await node.request("GET", "/readyz")
        assert "notes" not in body
        assert await node.metric("notify_token_keys_known") == 1


async def test_the_keys_are_fetched_without_a_client_asking(valkey: Valkey, tmp_path: Path):
    issuer = Issuer()
    async with served(issuer):
        port = int(issuer.url.rpartition(":")[2].partition("/")[0])
    environ = {"NOTIFY_JWT_SECRET": "", "NOTIFY_JWT_JWKS_URL": issuer.url}
    async with Cluster(1, directory=tmp_path, valkey=valkey, environ=environ) as cluster:
        (node,) = cluster.nodes
        assert await node.metric("notify_token_keys_known") == 0
        issuer.keys = [jwk(rsa_key(), "one")]
        async with served(issuer, port), asyncio.timeout(30):
            while await node.metric("notify_token_keys_known") == 0:
                await asyncio.sleep(0.05)


async def test_with_a_secret_the_keys_are_known(cluster: Cluster):
    assert await cluster.nodes[0].metric("notify_token_keys_known") == 1
    _, body = await cluster.nodes[0].request("GET", "/readyz")
    assert "notes" not in body
