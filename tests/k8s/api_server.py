"""As much of a Kubernetes API server as Helm's `lookup` asks for, on loopback: discovery, and Secrets.

A fake, because a real one needs etcd and a control plane; what is under test is the chart's use of `lookup`,
and the asking is done by Helm's own code.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class ApiServer:
    """Holds Secrets by (namespace, name); `kubeconfig` is how to reach it."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[str] = []
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cluster.asked.append(self.path)
                status, body = cluster.answer(self.path.partition("?")[0])
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def kubeconfig(self) -> str:
        """YAML (JSON is) that points at this server."""
        host, port = self._server.server_address[:2]
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "nobody"}}],
                "clusters": [{"name": "here", "cluster": {"server": f"http://{host!s}:{port}"}}],
                "users": [{"name": "nobody", "user": {}}],
            }
        )

    def keep(self, secret: dict[str, Any]) -> None:
        """Take a rendered Secret, as `helm install` would have created it."""
        self.secrets[secret["metadata"]["namespace"], secret["metadata"]["name"]] = secret

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body for a GET."""
        parts = path.strip("/").split("/")
        match parts:
            case ["version"]:
                return 200, {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
            case ["api"]:
                return 200, {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
            case ["api", "v1"]:
                resource = {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["get", "list"]}
                return 200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": [resource]}
            case ["api", "v1", "namespaces", namespace, "secrets", name]:
                if (namespace, name) in self.secrets:
                    return 200, self.secrets[namespace, name]
        return 404, {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "NotFound",
            "code": 404,
        }
