"""The web server of the page that has the bell: another origin than the service's, with a strict policy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
PLACES = {
    "client": ROOT / "client-demo" / "inbox",
    "vendor": ROOT / "node_modules" / "socket.io-client" / "dist",
    "build": ROOT / "build" / "inbox_element",
    "": Path(__file__).with_name("pages"),
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


# What frameworks do to a page is theirs: only the pages without any forbid text to become markup.
STRICT = f"{POLICY}; require-trusted-types-for 'script'"


class Handler(SimpleHTTPRequestHandler):
    """Files of a few directories, as an application would bundle or serve them."""

    extensions_map = {  # noqa: RUF012 - so it is in the base
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
    }

    token: Callable[[], str]

    def do_GET(self) -> None:
        if self.path != "/notify-token":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"token": type(self).token()}).encode())

    def translate_path(self, path: str) -> str:
        head, _, rest = urlsplit(path).path.lstrip("/").partition("/")
        if head in PLACES and rest:
            return str(PLACES[head] / rest)
        return str(PLACES[""] / urlsplit(path).path.lstrip("/"))

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY if self.path.startswith("/build/") else STRICT)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's own output is to be read."""


@contextmanager
def web_server(token: Callable[[], str] = lambda: "") -> Iterator[str]:
    """Its address, while it runs. `token` is what `/notify-token` answers with."""
    handler = type("Site", (Handler,), {"token": staticmethod(token)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
