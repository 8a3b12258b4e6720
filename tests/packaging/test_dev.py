"""`notify dev` as pip installs it, far from any checkout: with its page, and all that the page asks for."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest

from tests import pythons
from tests.cli.test_dev import Dev
from tests.packaging.empty import Environment
from tests.packaging.test_install import wheel
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(300)

NAMED = re.compile(r"""(?:from |import |import\(|src=|href=)["']([\w./-]+)["']""")


async def test_it_has_its_page(dist: Path, tmp_path: Path) -> None:
    python = pythons.interpreter(pythons.supported()[-1]) or pythons.interpreter(pythons.supported()[0])
    assert python is not None
    environment = Environment.made(tmp_path / "environment", python=python)
    environment.install(f"{wheel(dist)}[embedded]")
    away = tmp_path / "away"
    away.mkdir()
    async with aiohttp.ClientSession() as session:
        process = await asyncio.create_subprocess_exec(
            environment.bin / "notify", "dev", "--nodes", "1", "--port", str(free_port()),
            cwd=away, env=environment.environ(), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        running = Dev(process, session)
        try:
            await running.up()
            seen = await crawled(session, running.demo)
        finally:
            process.terminate()
            await running.ended()
    names = {url.rpartition("/")[2] for url in seen}
    assert {"main.js", "base.css"} <= names
    assert [name for name in names if name.startswith("socket.io")], names


async def crawled(session: aiohttp.ClientSession, page: str) -> set[str]:
    """Every URL that the page leads to, by what its files import and link. All must be there."""
    seen: set[str] = set()
    wanted = {page}
    while wanted:
        url = wanted.pop()
        async with session.get(url) as response:
            assert response.status == 200, url
            text = await response.text()
        seen.add(url)
        if "/vendor/" not in url:  # minified: what looks like an import there is none
            wanted |= {urljoin(url, name) for name in NAMED.findall(text)} - seen
    return seen
