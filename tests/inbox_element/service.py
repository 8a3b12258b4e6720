"""Who serves the inbox to the element: what a test may ask of it, whoever it is.

`Service` speaks the HTTP of a node, so the same tests run against the stand-in and against real nodes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY, JWT_SECRET

ROOT = Path(__file__).resolve().parents[2]
STANDIN = Path(__file__).with_name("standin") / "server.mjs"
SECRET = "a secret of the tests, thirty-two bytes and more"
TOKEN_S = 3600


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service that keeps inboxes. Clients use `url` or `elsewhere` (another node), backends `internal`."""

    url: str
    internal: str
    secret: str
    key: str = "none"
    elsewhere: str = ""

    def token(self, user: str, *, seconds: float = TOKEN_S) -> str:
        """A token that ends in so many seconds."""
        return jwt.encode({"sub": user, "exp": int(time.time() + seconds)}, self.secret, algorithm="HS256")

    def post(self, user: str, title: str, **fields: Any) -> str:
        """Notifies the user; the id."""
        answer = self.call("POST", "/v1/notifications", {"to": {"user": user}, "title": title, **fields})
        identifier: str = answer["id"]
        return identifier

    def post_many(self, user: str, titles: list[str], **fields: Any) -> list[str]:
        """Notifies the user of them in this order; the ids."""
        ids: list[str] = []
        for start in range(0, len(titles), 1000):
            each = [
                {"to": {"user": user}, "title": title, **fields} for title in titles[start : start + 1000]
            ]
            answer = self.call("POST", "/v1/notifications/batch", {"notifications": each})
            ids += [result["id"] for result in answer["results"]]
        return ids

    def retract(self, identifier: str) -> None:
        """Takes it back."""
        self.call("DELETE", f"/v1/notifications/{identifier}")

    def mark(self, user: str, kind: str, ids: list[str] | None = None, **fields: Any) -> Any:
        """Marks as another device of the user would."""
        body = {"as": kind, **({} if ids is None else {"ids": ids}), **fields}
        return self.call("POST", f"/v1/users/{user}/inbox/mark", body)

    def inbox(self, user: str, query: str = "") -> Any:
        return self.call("GET", f"/v1/users/{user}/inbox?{query}")

    def send_away(self, user: str) -> None:
        self.call("POST", f"/v1/users/{user}/disconnect", {})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.internal + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@contextmanager
def standin(**settings: str) -> Iterator[Service]:
    """The stand-in: stock Socket.IO and an inbox in memory, with the contract of a node."""
    environment = {**os.environ, "STANDIN_SECRET": SECRET, **settings}
    with subprocess.Popen(
        ["node", str(STANDIN)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        try:
            yield Service(url=address, internal=address, secret=SECRET)
        finally:
            process.terminate()


@contextmanager
def real_nodes(directory: Path) -> Iterator[Service]:
    """Two nodes on a Valkey: clients connect to one, backends post to the other."""
    cluster = Cluster(2, directory=directory, environ={"NOTIFY_CORS_ORIGINS": "*"})
    asyncio.run(cluster.start())
    try:
        one, two = cluster.nodes
        yield Service(
            url=one.url, elsewhere=two.url, internal=two.internal_url, secret=JWT_SECRET, key=API_KEY
        )
    finally:
        asyncio.run(cluster.stop())
