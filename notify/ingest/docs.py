"""`/openapi.json`, and a page that shows it without asking anyone on the internet."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web

from notify.ingest.edge import Edge, Handler

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


class DocsRoutes:
    """Serves a few files from memory."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._files = {"/openapi.json": (orjson.dumps(document), "application/json")}
        for path, (name, content_type) in ASSETS.items():
            self._files[path] = (files("notify.ingest").joinpath("static", name).read_bytes(), content_type)

    def routes(self, edge: Edge) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        return {
            path: [
                edge.get(path, "openapi" if path == "/openapi.json" else "docs", serving(body, content_type))
            ]
            for path, (body, content_type) in self._files.items()
        }


def serving(body: bytes, content_type: str) -> Handler:
    """A handler that answers with `body`, or 304 to who has it already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }

    async def serve(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers={**headers, "Content-Type": content_type})

    return serve
