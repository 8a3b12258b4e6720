"""The inbox and its bell for browsers, served by every node as Socket.IO serves its own client."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

import notify
from notify.protocol.validators import has_it

PATH = "/client/"
NAMES = ("inbox.js", "element.js")
INSTALLED = Path(__file__).resolve().parent / "client"
"""Put there when the package is built."""
CHECKOUT = Path(notify.__file__).resolve().parent.parent / "client-demo" / "inbox"


class ClientFiles:
    """`/client/inbox.js` and `/client/element.js`, for pages of any origin: they hold nothing secret."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` is where the files are, if not where they come with the package or a checkout."""
        places = (directory,) if directory is not None else (INSTALLED, CHECKOUT)
        found = next((place for place in places if (place / NAMES[0]).is_file()), None)
        self._files = {} if found is None else {name: (found / name).read_bytes() for name in NAMES}

    def routes(self) -> list[web.RouteDef]:
        """A route for each file that there is."""
        return [self._route(name, body) for name, body in self._files.items()]

    def _route(self, name: str, body: bytes) -> web.RouteDef:
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            "ETag": tag,
            "Cache-Control": "public, max-age=0, must-revalidate",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }

        async def serve(request: web.Request) -> web.Response:
            if has_it(request.headers.get("If-None-Match"), tag):
                return web.Response(status=304, headers=headers)
            return web.Response(
                body=body, headers={**headers, "Content-Type": "text/javascript; charset=utf-8"}
            )

        return web.get(PATH + name, serve)
