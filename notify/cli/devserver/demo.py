"""What `notify dev` serves to a browser: the page, and the few actions it offers.

It hands out tokens and an API key, and kills processes, so it is for this machine only: it listens on
loopback, answers only to loopback names (else a page elsewhere could reach it by DNS rebinding), and takes
no POST that another page caused. What pages on other ports of this machine may load is the stock client.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from notify.cli.devserver.page import Page
from notify.cli.devserver.supervisor import DevNode, Supervisor
from notify.gateway.http.origins import OriginPolicy

VENDORED = ("socket.io.min.js", "socket.io.esm.min.js", "socket.io.min.js.map", "socket.io.esm.min.js.map")
STOCK_CLIENT = "/demo/vendor/socket.io.esm.min.js"
MAX_BODY = 8 * 1024 * 1024
PEOPLE = (("ada", "Ada"), ("bo", "Bo"))
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
LOOPBACK_ORIGINS = tuple(f"{scheme}://{name}:*" for name in LOOPBACK_NAMES for scheme in ("http", "https"))
"""Pages of this machine, whatever serves them: as NOTIFY_CORS_ORIGINS takes them."""
PASSED_BACK = ("Content-Type", "Retry-After", "Location", "Idempotent-Replayed", "X-Request-Id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the page is served from. `token` makes one for a user; `page` is None when there is no page."""

    supervisor: Supervisor
    port: int
    page: Page | None
    api_key: str
    token: Callable[[str], str]

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY)
        app.cleanup_ctx.append(_http_client)
        app.add_routes(
            [
                web.get("/", _to_page),
                web.get("/demo", _to_page),
                web.get("/demo/config.json", self._config),
                web.get("/demo/nodes", self._nodes),
                web.post("/demo/nodes/{node}/{how:kill|drain}", self._strike),
                web.post("/demo/api/notifications", self._pass_on),
                web.post("/demo/api/notifications/batch", self._pass_on),
                web.delete("/demo/api/notifications/{id:ntf_[0-9A-Z]+}", self._pass_on),
                web.get("/demo/vendor/{name}", self._vendored),
                web.get("/demo/{path:.*}", self._file),
            ]
        )
        return app

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that the page may have in a browser."""
        return tuple(f"http://{name}:{self.port}" for name in LOOPBACK_NAMES)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if f"http://{request.host}" not in self.origins:
            raise web.HTTPForbidden(text="This server answers to localhost only.")
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("Origin")
            site = request.headers.get("Sec-Fetch-Site")
            if (origin is not None and origin not in self.origins) or site not in (
                None,
                "same-origin",
                "none",
            ):
                raise web.HTTPForbidden(text="Another page caused this request.")
        response = await handler(request)
        response.headers["Content-Security-Policy"] = self._policy()
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        if request.path == STOCK_CLIENT:
            _open_to_this_machine(request, response)
        return response

    def _policy(self) -> str:
        nodes = [
            f"{scheme}://{host}:{node.port}"
            for node in self.supervisor.nodes
            for host in ("localhost", "127.0.0.1")
            for scheme in ("http", "ws")
        ]
        return "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self' data:",
                "font-src 'self'",
                f"connect-src 'self' {' '.join(nodes)}",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )

    async def _config(self, request: web.Request) -> web.Response:
        nodes = self.supervisor.nodes
        people = [
            {"id": user, "name": name, "node": nodes[place % len(nodes)].name, "token": self.token(user)}
            for place, (user, name) in enumerate(PEOPLE)
        ]
        api = {"url": nodes[0].internal_url, "curl_key": self.api_key}
        return web.json_response({"nodes": _listed(nodes), "people": people, "api": api})

    async def _nodes(self, request: web.Request) -> web.Response:
        return web.json_response(_listed(self.supervisor.nodes))

    async def _strike(self, request: web.Request) -> web.Response:
        node = self.supervisor.find(request.match_info["node"])
        if node is None:
            return _problem(404, "not_found", "There is no such node.")
        struck = node.kill() if request.match_info["how"] == "kill" else node.drain()
        if not struck:
            return _problem(409, "down", f"{node.name} is down already.")
        return web.json_response(_shown(node), status=202)

    async def _pass_on(self, request: web.Request) -> web.Response:
        """Pass it on to a running node. A POST's idempotency key makes it safe to try another."""
        body = await request.read()
        path = request.path.removeprefix("/demo/api")
        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": request.headers.get("Content-Type", "application/json"),
            "Idempotency-Key": request.headers.get("Idempotency-Key") or secrets.token_hex(16),
        }
        client = request.app[_CLIENT]
        for node in sorted(self.supervisor.nodes, key=lambda node: not node.alive):
            url = f"http://127.0.0.1:{node.internal_port}/v1{path}"
            try:
                async with client.request(request.method, url, data=body, headers=headers) as answer:
                    passed = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
                    return web.Response(status=answer.status, body=await answer.read(), headers=passed)
            except (aiohttp.ClientError, TimeoutError):
                continue
        return _problem(503, "unavailable", "No node is up.")

    async def _vendored(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in VENDORED or self.page is None:
            raise web.HTTPNotFound
        if not (self.page.vendor / name).is_file():
            raise web.HTTPNotFound(text="The stock client is not installed: run `npm ci`, or `make setup`.")
        return web.FileResponse(self.page.vendor / name)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if self.page is None:
            raise web.HTTPNotFound(
                text="There is no page in this build: start `notify dev` in a checkout (client-demo/)."
            )
        path = request.match_info["path"] or "index.html"
        if "\0" in path or any(part.startswith(".") or part == "node_modules" for part in path.split("/")):
            raise web.HTTPNotFound
        file = (self.page.directory / path).resolve()
        if not file.is_relative_to(self.page.directory.resolve()) or not file.is_file():
            raise web.HTTPNotFound
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return web.FileResponse(file, headers={"Content-Type": kind})


def _open_to_this_machine(request: web.Request, response: web.StreamResponse) -> None:
    """Let a page on another port of this machine import it: it is no secret, and changes nothing."""
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("Origin")
    if origin is not None and _THIS_MACHINE.allowed(origin, request.host, request.scheme):
        response.headers["Access-Control-Allow-Origin"] = origin


_THIS_MACHINE = OriginPolicy(LOOPBACK_ORIGINS)
_CLIENT = web.AppKey("client", aiohttp.ClientSession)


async def _http_client(app: web.Application) -> Any:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
        app[_CLIENT] = client
        yield


async def _to_page(request: web.Request) -> web.Response:
    raise web.HTTPFound("/demo/")


def _listed(nodes: Sequence[DevNode]) -> list[dict[str, Any]]:
    return [_shown(node) for node in nodes]


def _shown(node: DevNode) -> dict[str, Any]:
    return {
        "id": node.name,
        "url": node.url,
        "alive": node.alive,
        "state": node.state,
        "restarts": node.restarts,
    }


def _problem(status: int, code: str, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": detail, "status": status, "code": code, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")
