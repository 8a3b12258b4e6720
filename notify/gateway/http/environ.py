"""A request as a WSGI environ, which is what python-socketio's connect handlers are given."""

from __future__ import annotations

import sys
from typing import Any

from aiohttp import web

from notify.gateway.http.proxies import Visitor


def environ_of(request: web.BaseRequest, visitor: Visitor) -> dict[str, Any]:
    """The environ that python-engineio's aiohttp driver makes, with the client's true address and scheme."""
    environ: dict[str, Any] = {
        "wsgi.input": request.content,
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.url_scheme": visitor.scheme,
        "SERVER_SOFTWARE": "aiohttp",
        "SERVER_NAME": "aiohttp",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": f"HTTP/{request.version[0]}.{request.version[1]}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string,
        "RAW_URI": request.path_qs,
        "PATH_INFO": request.path,
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": visitor.address,
        "REMOTE_PORT": visitor.port,
        "aiohttp.request": request,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
