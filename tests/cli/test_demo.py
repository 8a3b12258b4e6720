"""The demo server hands out keys and kills processes: so nobody but this machine's own page may ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from notify.cli.devserver.demo import Demo
from notify.cli.devserver.page import Page
from notify.cli.devserver.supervisor import DevNode, Supervisor
from tests.support.ports import free_port


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    page, vendor = tmp_path / "client-demo", tmp_path / "dist"
    for directory in (page / "node_modules", page / "style", vendor):
        directory.mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><title>demo</title>")
    (page / "main.mjs").write_text("export {}")
    (page / ".env").write_text("SECRET")
    (page / "node_modules" / "x.js").write_text("SECRET")
    (page / "link.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "outside.txt").write_text("SECRET")
    (vendor / "socket.io.esm.min.js").write_text("export {}")
    (vendor / "index.js").write_text("SECRET")
    node = DevNode("node-1", port=1, internal_port=free_port(), environ={}, log=tmp_path / "log", say=print)
    port = free_port()
    demo = Demo(
        supervisor=Supervisor([node]),
        port=port,
        page=Page(page, vendor),
        api_key="the-key",
        token=lambda user: f"token-of-{user}",
    )
    async with TestClient(TestServer(demo.application(), port=port)) as client:
        yield client


async def status(client: TestClient[Any, Any], path: str, method: str = "GET", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.request(method, path, headers=named, allow_redirects=False) as response:
        assert "SECRET" not in await response.text()
        return response.status


async def test_the_page_is_served_with_a_strict_policy(client: TestClient[Any, Any]):
    async with client.get("/") as response:
        assert response.url.path == "/demo/"
        assert response.headers["Content-Type"].startswith("text/html")
        policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http://localhost:1 ws://localhost:1 " in policy
    assert "unsafe" not in policy
    async with client.get("/demo/main.mjs") as response:
        assert "javascript" in response.headers["Content-Type"]
    async with client.get("/demo/vendor/socket.io.esm.min.js") as response:
        assert "javascript" in response.headers["Content-Type"]


@pytest.mark.parametrize(
    "path",
    [
        "/demo/.env",
        "/demo/node_modules/x.js",
        "/demo/../outside.txt",
        "/demo/%2e%2e/outside.txt",
        "/demo/..%2foutside.txt",
        "/demo/%2e%2e%2foutside.txt",
        "/demo//etc/passwd",
        "/demo/link.txt",
        "/demo/style",
        "/demo/vendor/index.js",
        "/demo/vendor/..%2foutside.txt",
        "/demo/vendor/socket.io.min.js",
        "/outside.txt",
        "/demo/%00",
    ],
)
async def test_nothing_else_is_served(client: TestClient[Any, Any], path: str):
    assert await status(client, path) in (403, 404)


async def test_only_loopback_names_are_answered(client: TestClient[Any, Any]):
    port = client.port
    assert port is not None
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        assert await status(client, "/demo/config.json", Host=host) == 200
    for host in (
        f"evil.example:{port}",
        "localhost",
        f"localhost:{port + 1}",
        f"localhost.evil.example:{port}",
    ):
        assert await status(client, "/demo/config.json", Host=host) == 403


async def test_pages_on_other_ports_of_this_machine_may_import_the_stock_client_and_nothing_else(
    client: TestClient[Any, Any],
):
    module, config = "/demo/vendor/socket.io.esm.min.js", "/demo/config.json"
    for origin in (
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "https://localhost:5173",
        "http://[::1]:1",
    ):
        async with client.get(module, headers={"Origin": origin}) as response:
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        async with client.get(config, headers={"Origin": origin}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    for origin in (
        "http://evil.example",
        "http://localhost.evil.example:5173",
        "null",
        "http://10.0.0.1:5173",
    ):
        async with client.get(module, headers={"Origin": origin}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_posts_that_another_page_caused_are_refused(client: TestClient[Any, Any]):
    mine = f"http://localhost:{client.port}"
    for method, path in (
        ("POST", "/demo/nodes/node-1/kill"),
        ("POST", "/demo/nodes/node-1/drain"),
        ("POST", "/demo/api/notifications"),
        ("DELETE", "/demo/api/notifications/ntf_0"),
    ):
        for refused in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://localhost:{client.port}.evil.example"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Origin": mine, "Sec_Fetch_Site": "cross-site"},
        ):
            assert await status(client, path, method, **refused) == 403
        for let_in in ({}, {"Origin": mine}, {"Origin": mine, "Sec_Fetch_Site": "same-origin"}):
            assert await status(client, path, method, **let_in) in (409, 503)  # the node of this test is down


async def test_without_a_node_a_post_is_answered_as_a_problem(client: TestClient[Any, Any]):
    async with client.post("/demo/api/notifications", json={}) as response:
        assert response.status == 503
        assert response.content_type == "application/problem+json"
        assert (await response.json())["code"] == "unavailable"
