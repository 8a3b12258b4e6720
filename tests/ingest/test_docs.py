"""The page that shows it: complete without the internet, and nothing from elsewhere is run on it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from notify.ingest.docs import ASSETS
from tests.ingest.conftest import Api


async def test_the_page_and_all_it_asks_for_are_served_to_everyone(api: Api):
    page = await api.ask("GET", "/docs", key=None)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert set(links) == {"docs/docs.css", "docs/docs.js", "openapi.json"}
    for link in links:
        answer = await api.ask("GET", f"/{link}", key=None)
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_policy_lets_nothing_in_and_the_page_keeps_to_it(api: Api):
    for path in ASSETS:
        answer = await api.ask("GET", path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        text = answer.body.decode()
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path
        assert "innerHTML" not in text
        if path == "/docs":
            assert not re.search(r"<script(?![^>]*src)|<style| style=| on[a-z]+=", text)


async def test_who_has_it_already_gets_it_not_again(api: Api):
    first = await api.ask("GET", "/docs/docs.js")
    again = await api.ask("GET", "/docs/docs.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    head = await api.ask("HEAD", "/docs/docs.js")
    assert (head.status, head.body) == (200, b"")


def test_the_script_is_one():
    node = shutil.which("node")
    assert node, "Node is needed for the tests anyway"
    script = Path(__file__).parents[2] / "notify" / "ingest" / "static" / "docs.js"
    subprocess.run([node, "--check", str(script)], check=True, timeout=20)
