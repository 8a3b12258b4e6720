"""`/openapi.json` and `/asyncapi.json`, and a page that shows both without asking anyone on the internet.

The page is a library's, Scalar's API reference. It is fetched from npm when the package is built, by what is
in docs/reference/, so a build may be without it: then the page says so.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import secrets
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import hdrs, web

import notify
from notify.ingest.http.route_wrapper import Handler, RouteWrapper
from notify.protocol.validators import has_it

PAGE_PATH = "/docs"
LIBRARY_PATH = "/docs/scalar.js"
LIBRARY = "scalar.js.gz"
ASSETS = {
    "/docs/styles.js": ("styles.js", "text/javascript; charset=utf-8"),
    "/docs/reference.js": ("reference.js", "text/javascript; charset=utf-8"),
    "/docs/reference.css": ("reference.css", "text/css; charset=utf-8"),
}
CHECKOUT = Path(notify.__file__).resolve().parent.parent / "docs" / "reference" / "dist"
"""Where the library is in a checkout."""

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def policy(nonce: str = "") -> str:
    """What the page may do: nothing but this node's. The library makes its style sheets with the nonce."""
    styles = f"style-src 'self' 'nonce-{nonce}'" if nonce else "style-src 'self'"
    return (
        f"default-src 'none'; script-src 'self'; {styles}; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class DocsRoutes:
    """Serves the documents, and a few files, from memory."""

    def __init__(self, documents: Mapping[str, dict[str, Any]]) -> None:
        """`documents` by path."""
        self._documents = documents
        self._library = found_library()

    def routes(self, edge: RouteWrapper) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        static = files("notify.ingest").joinpath("static")
        handlers: dict[str, Handler] = {
            path: serving(orjson.dumps(document), "application/json")
            for path, document in self._documents.items()
        }
        for path, (name, content_type) in ASSETS.items():
            handlers[path] = serving(static.joinpath(name).read_bytes(), content_type)
        if self._library is None:
            page = static.joinpath("missing.html").read_bytes()
            handlers[PAGE_PATH] = serving(page, "text/html; charset=utf-8")
        else:
            handlers[PAGE_PATH] = showing(static.joinpath("reference.html").read_text(encoding="utf-8"))
            handlers[LIBRARY_PATH] = serving(
                self._library.read_bytes(), "text/javascript; charset=utf-8", gzipped=True
            )
        return {
            path: [edge.get(path, path[1:-5] if path in self._documents else "docs", handler)]
            for path, handler in handlers.items()
        }


def found_library() -> Traversable | None:
    """The library of the installed package, or else of the checkout; None where it was not fetched."""
    for place in (files("notify.ingest").joinpath("static", LIBRARY), CHECKOUT / LIBRARY):
        if place.is_file():
            return place
    return None


def serving(body: bytes, content_type: str, *, gzipped: bool = False) -> Handler:
    """A handler that answers with `body`, or 304 to who has it already."""
    # Weak where it stands for two encodings (RFC 9110 section 8.8.1).
    etag = f'{"W/" if gzipped else ""}"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {**HEADERS, "ETag": etag, "Content-Security-Policy": policy()}
    if gzipped:
        headers["Vary"] = "Accept-Encoding"

    async def serve(request: web.Request) -> web.Response:
        if has_it(request.headers.get("If-None-Match"), etag):
            return web.Response(status=304, headers=headers)
        response = web.Response(body=body, headers={**headers, "Content-Type": content_type})
        if gzipped and _takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        elif gzipped:
            response.body = await asyncio.to_thread(gzip.decompress, body)
        return response

    return serve


def _takes_gzip(accepted: str) -> bool:
    for one in accepted.split(","):
        name, _, weight = one.partition(";")
        if name.strip().lower() == "gzip":
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


def showing(page: str) -> Handler:
    """A handler that answers with the page, under another nonce each time."""

    async def show(request: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(18)
        return web.Response(
            text=page.replace("{nonce}", nonce),
            content_type="text/html",
            charset="utf-8",
            headers={**HEADERS, "Cache-Control": "no-store", "Content-Security-Policy": policy(nonce)},
        )

    return show
