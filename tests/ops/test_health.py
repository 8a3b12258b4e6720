"""What probes and Prometheus are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from notify.ops.health import Health
from notify.ops.lifecycle import Lifecycle, State
from notify.ops.metrics import Metrics


class Parts:
    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.metrics = Metrics()
        self.deaf: str | None = None


@pytest.fixture
async def parts() -> Parts:
    return Parts()


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    health = Health(lifecycle=parts.lifecycle, metrics=parts.metrics, checks={"deaf": lambda: parts.deaf})
    app.add_routes(health.routes())
    async with TestClient(TestServer(app)) as client:
        yield client


async def ready(client: Any) -> tuple[int, list[str]]:
    async with client.get("/readyz") as response:
        return response.status, [reason["code"] for reason in (await response.json())["reasons"]]


async def test_ready_only_between_start_and_drain(client: Any, parts: Parts):
    assert await ready(client) == (503, ["starting"])
    parts.lifecycle.move(State.READY)
    assert await ready(client) == (200, [])
    parts.lifecycle.move(State.DRAINING)
    assert await ready(client) == (503, ["draining"])


async def test_a_deaf_node_is_unready_and_says_why(client: Any, parts: Parts):
    parts.lifecycle.move(State.READY)
    parts.deaf = "The canary was last heard 20 s ago."
    assert await ready(client) == (503, ["deaf"])


async def test_alive_in_every_state(client: Any, parts: Parts):
    for state in State:
        parts.lifecycle.move(state)
        async with client.get("/healthz") as response:
            assert response.status == 200


async def test_metrics_are_served_in_prometheus_format(client: Any):
    async with client.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "notify_build_info" in await response.text()
