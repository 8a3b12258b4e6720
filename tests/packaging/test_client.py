"""The Python client as pip installs it, in an application that has nothing else of ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import notify_client
from tests import pythons
from tests.packaging.empty import Environment
from tests.packaging.test_install import base
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY, JWT_SECRET

pytestmark = pytest.mark.timeout(300)

APPLICATION = """
import asyncio, os
from notify_client import AsyncNotify, Notify, tokens

with Notify() as notify:
    print(notify.send(to={"user": "ada"}, title="Hello").id)

async def main():
    async with AsyncNotify() as notify:
        print((await notify.send(to={"user": "ada"}, title="Hello")).id)

asyncio.run(main())
print(tokens.sign(os.environ["SECRET"], "ada"))
"""


@pytest.mark.parametrize("version", pythons.supported())
async def test_it_posts_and_signs(version: str, dist: Path, tmp_path: Path, cluster: Cluster) -> None:
    environment = Environment.made(tmp_path / "environment", python=base(version))
    file = dist / f"notify_socketio_client-{notify_client.__version__}-py3-none-any.whl"
    environment.install(f"{file}[tokens]")
    assert not environment.packages() & {"notify-socketio", "aiohttp", "redis"}
    done = subprocess.run(
        [environment.bin / "python", "-W", "error", "-c", APPLICATION],
        env=environment.environ(
            NOTIFY_URL=cluster.nodes[0].internal_url, NOTIFY_API_KEY=API_KEY, SECRET=JWT_SECRET
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, token = done.stdout.split()
    assert first.startswith("ntf_")
    assert second > first
    assert token.count(".") == 2
