"""nginx's configuration for machines without Kubernetes: it is valid, routes what it should, and no more."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.k8s.nginx import AFFINITY, CONFIGURATION, ROUND_ROBIN, Nginx
from tests.support.ports import free_port


def without_comments(path: Path) -> str:
    return re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)


TEXT = without_comments(CONFIGURATION)


def settings(name: str) -> float:
    """A number of k8s/nginx/notify.env."""
    (found,) = re.findall(rf"^{name}=(\S+)$", (CONFIGURATION.parent / "notify.env").read_text(), re.MULTILINE)
    return float(found)


class Backend:
    """Two ports of a pretended node, which answer with what reached them."""

    def __init__(self) -> None:
        self.ports = free_port(), free_port()
        self.status = 200
        self.seen: list[web.Request] = []

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        for port in self.ports:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"echo {message.data}")
            return socket
        body = await request.json() if request.can_read_body else None
        seen = {"headers": dict(request.headers), "path": request.path_qs, "body": body}
        return web.json_response(seen, status=self.status)


@pytest.fixture
async def backends(tmp_path: Path) -> AsyncIterator[list[Backend]]:
    found = [Backend() for _ in range(3)]
    for backend in found:
        await backend.start()
    yield found
    for backend in found:
        await backend.stop()


@pytest.fixture
async def nginx(
    request: pytest.FixtureRequest, tmp_path: Path, backends: list[Backend]
) -> AsyncIterator[Nginx]:
    spread = getattr(request, "param", AFFINITY)
    with Nginx(tmp_path / "nginx", [backend.ports for backend in backends], spread=spread) as running:
        async with aiohttp.ClientSession() as session:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    await (await session.get(running.url)).read()
                    break
                except aiohttp.ClientConnectorError:
                    continue
        for backend in backends:
            backend.seen.clear()
        yield running


EITHER = pytest.mark.parametrize("nginx", [AFFINITY, ROUND_ROBIN], indirect=True, ids=lambda path: path.stem)


@pytest.mark.parametrize("spread", [AFFINITY, ROUND_ROBIN], ids=lambda path: path.stem)
def test_nginx_takes_the_configuration(tmp_path: Path, spread: Path) -> None:
    said = Nginx(tmp_path, [(8080, 8081), (8082, 8083)], spread=spread).check()
    assert "syntax is ok" in said
    assert "warn" not in said


def test_timeouts_are_longer_than_the_ping() -> None:
    silence = settings("NOTIFY_PING_INTERVAL") + settings("NOTIFY_PING_TIMEOUT")
    location = TEXT[TEXT.index("location /socket.io/") :]
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        (seconds,) = re.findall(rf"{name} (\d+)s;", location.partition("location / ")[0])
        assert float(seconds) > silence


def test_only_the_affinity_makes_the_difference() -> None:
    with_it, without = without_comments(AFFINITY), without_comments(ROUND_ROBIN)
    assert with_it.replace("    ip_hash;\n", "") == without != with_it


def test_the_upstreams_are_the_units_ports() -> None:
    def ports(path: Path, upstream: str) -> list[str]:
        text = without_comments(path)
        return re.findall(
            r"server 127\.0\.0\.1:(\d+)", text[text.index(f"upstream {upstream}") :].partition("}")[0]
        )

    files = sorted(CONFIGURATION.parent.glob("notify-*.env"))
    pairs = [dict(re.findall(r"^(NOTIFY_\w+)=(\d+)$", path.read_text(), re.MULTILINE)) for path in files]
    for spread in (AFFINITY, ROUND_ROBIN):
        assert ports(spread, "notify_public") == [pair["NOTIFY_PORT"] for pair in pairs]
    assert ports(CONFIGURATION, "notify_internal") == [pair["NOTIFY_INTERNAL_PORT"] for pair in pairs]
    assert [path.stem for path in files] == [f"notify-{pair['NOTIFY_PORT']}" for pair in pairs]


async def test_only_socket_io_leaves_the_machine(nginx: Nginx, backends: list[Backend]) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/v1/notifications", "/metrics", "/healthz", "/docs", "/socket.io/../metrics"):
            async with session.get(nginx.url + path) as response:
                assert response.status == 404, path
        assert not [request for backend in backends for request in backend.seen]
        async with session.get(nginx.url + "/socket.io/?EIO=4&transport=polling") as response:
            assert response.status == 200


async def test_an_address_stays_on_its_node_and_cannot_claim_another(
    nginx: Nginx, backends: list[Backend]
) -> None:
    async with aiohttp.ClientSession(headers={"X-Forwarded-For": "6.6.6.6"}) as session:
        for _ in range(9):
            async with session.get(nginx.url + "/socket.io/") as response:
                headers = (await response.json())["headers"]
                assert headers["X-Forwarded-For"] == "127.0.0.1"
                assert "6.6.6.6" not in str(headers)
    assert sorted(len(backend.seen) for backend in backends) == [0, 0, 9]


async def test_addresses_are_spread_over_the_nodes(nginx: Nginx, backends: list[Backend]) -> None:
    for number in range(30):
        connector = aiohttp.TCPConnector(local_addr=(f"127.0.{number}.7", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(nginx.url + "/socket.io/") as response,
        ):
            assert response.status == 200
    assert all(backend.seen for backend in backends)


@pytest.mark.parametrize("nginx", [ROUND_ROBIN], indirect=True)
async def test_without_affinity_each_request_goes_to_the_next_node(
    nginx: Nginx, backends: list[Backend]
) -> None:
    async with aiohttp.ClientSession(headers={"X-Forwarded-For": "6.6.6.6"}) as session:
        for number in range(9):
            async with session.post(nginx.url + "/socket.io/?sid=x", json=number) as response:
                answer = await response.json()
                assert (answer["body"], answer["headers"]["X-Forwarded-For"]) == (number, "127.0.0.1")
    assert [len(backend.seen) for backend in backends] == [3, 3, 3]


@EITHER
async def test_a_websocket_goes_through(nginx: Nginx) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(nginx.url + "/socket.io/?transport=websocket") as socket,
    ):
        await socket.send_str("hello")
        assert await socket.receive_str() == "echo hello"


@EITHER
async def test_a_handshake_that_a_draining_node_refuses_goes_to_the_next(
    nginx: Nginx, backends: list[Backend]
) -> None:
    async with aiohttp.ClientSession() as session:
        await (await session.get(nginx.url + "/socket.io/")).read()
        (home,) = [backend for backend in backends if backend.seen]
        home.status = 503
        for _ in backends:
            async with session.get(nginx.url + "/socket.io/") as response:
                assert response.status == 200
        assert len(home.seen) >= 2


async def test_a_post_with_a_key_goes_to_the_next_node_when_one_refuses_or_is_gone(
    nginx: Nginx, backends: list[Backend]
) -> None:
    backends[0].status = 503
    await backends[1].stop()
    async with aiohttp.ClientSession() as session:
        for number in range(12):
            headers = {"Idempotency-Key": str(number)}
            body = {"number": number}
            async with session.post(
                nginx.internal_url + "/v1/notifications?a=b", json=body, headers=headers
            ) as response:
                assert response.status == 200
                got = await response.json()
                assert (got["path"], got["body"]) == ("/v1/notifications?a=b", body)
    keys = [request.headers["Idempotency-Key"] for request in backends[2].seen]
    assert sorted(keys, key=int) == [str(number) for number in range(12)], "each once, with its key"


async def test_a_post_without_a_key_goes_to_the_next_only_if_no_node_has_seen_it(
    nginx: Nginx, backends: list[Backend]
) -> None:
    await backends[1].stop()
    async with aiohttp.ClientSession() as session:
        for _ in range(6):
            async with session.post(nginx.internal_url + "/v1/notifications", json={}) as response:
                assert response.status == 200
        for backend in backends:
            backend.status = 503
            backend.seen.clear()
        async with session.post(nginx.internal_url + "/v1/notifications", json={}) as response:
            assert response.status == 503, "the caller decides"
    assert sum(len(backend.seen) for backend in backends) == 1


async def test_metrics_of_some_node_are_not_served(nginx: Nginx) -> None:
    async with aiohttp.ClientSession() as session, session.get(nginx.internal_url + "/metrics") as response:
        assert response.status == 404
