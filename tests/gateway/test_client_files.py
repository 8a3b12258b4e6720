"""What every node serves to browsers beside Socket.IO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cluster import Cluster

INBOX = Path(__file__).resolve().parents[2] / "client-demo" / "inbox"


async def get(url: str, **headers: str) -> tuple[int, Any, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize("name", ["inbox.js", "element.js"])
async def test_the_bell_is_served_to_pages_of_any_origin(cluster: Cluster, name: str) -> None:
    url = f"{cluster.nodes[0].url}/client/{name}"
    status, headers, body = await get(url, Origin="https://elsewhere.example")
    assert (status, body) == (200, (INBOX / name).read_bytes())
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    tag = headers["ETag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, headers, body = await get(url, **{"If-None-Match": sent})
        assert (status, headers["ETag"], body) == (304, tag, b"")
    assert (await get(url, **{"If-None-Match": '"other"'}))[0] == 200


async def test_nothing_else_is_served_there(cluster: Cluster) -> None:
    for path in ("/client/", "/client/react.js", "/client/../pyproject.toml", "/client/inbox.d.ts"):
        assert (await get(cluster.nodes[0].url + path))[0] == 404, path


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_SERVE_CLIENT": "false"}) as cluster:
        assert (await get(cluster.nodes[0].url + "/client/inbox.js"))[0] == 404
