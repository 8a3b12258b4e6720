"""What probes and Prometheus are told, and what every request carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from notify.ops.health import Health
from notify.ops.lifecycle import Lifecycle, State
from notify.ops.metrics import Metrics
from notify.ops.requests import REQUEST_ID, observed


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
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"id": request[REQUEST_ID]})

    async def broken(request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    app = web.Application(middlewares=[observed(parts.metrics)])
    health = Health(lifecycle=parts.lifecycle, metrics=parts.metrics, checks={"deaf": lambda: parts.deaf})
    app.add_routes([*health.routes(), web.get("/users/{user}", echo), web.get("/broken", broken)])
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


async def test_a_request_id_is_taken_or_made_and_answered(client: Any):
    async with client.get("/users/7", headers={"X-Request-Id": "abc-1"}) as response:
        assert (await response.json())["id"] == response.headers["X-Request-Id"] == "abc-1"
    async with client.get("/users/7", headers={"X-Request-Id": "no spaces, please"}) as response:
        made = (await response.json())["id"]
        assert made == response.headers["X-Request-Id"]
        assert " " not in made
    async with client.get("/nowhere") as response:
        assert response.headers["X-Request-Id"]


async def test_requests_are_counted_by_route_not_by_path(client: Any, parts: Parts):
    for user in ("7", "8"):
        await client.get(f"/users/{user}")
    await client.get("/somewhere/else")
    text = parts.metrics.render().decode()
    assert 'notify_http_requests_total{method="GET",route="/users/{user}",status="200"} 2.0' in text
    assert 'route="unknown",status="404"} 1.0' in text


async def test_failures_are_logged_with_their_request_id(client: Any):
    with capture_logs(processors=[]) as logs:
        await client.get("/broken", headers={"X-Request-Id": "abc-2"})
    assert [(line["log_level"], line["status"]) for line in logs] == [("warning", 503)]
