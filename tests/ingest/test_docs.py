"""The page that shows the API: complete without the internet, and nothing from elsewhere is run on it."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from notify.ingest import docs
from notify.ingest.docs import ASSETS, LIBRARY_PATH, PAGE_PATH
from tests.ingest.conftest import Api, Recorder, running

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "notify" / "ingest" / "static"


@pytest.fixture
async def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Api]:
    """A build for which the library was not fetched."""
    monkeypatch.setattr(docs, "CHECKOUT", tmp_path)
    async with running(Recorder()) as api:
        yield api


async def test_the_page_and_all_it_asks_for_are_served_to_everyone(api: Api):
    page = await api.ask("GET", PAGE_PATH, key=None)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = set(re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())) - {"data:,"}
    assert links == {path[1:] for path in (*ASSETS, LIBRARY_PATH, "/openapi.json", "/asyncapi.json")}
    for link in links:
        answer = await api.ask("GET", f"/{link}", key=None)
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_policy_lets_nothing_in_and_the_page_keeps_to_it(api: Api):
    for path in (PAGE_PATH, *ASSETS, LIBRARY_PATH, "/openapi.json", "/asyncapi.json"):
        answer = await api.ask("GET", path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src 'self';" in policy
        if path == PAGE_PATH:
            assert not re.search(r"<script(?![^>]*src)|<style| style=| on[a-z]+=", answer.body.decode())
        if path == PAGE_PATH or path in ASSETS:
            assert not re.search(r"https?://", answer.body.decode()), path


async def test_each_page_has_a_nonce_of_its_own_for_style_sheets(api: Api):
    nonces = set()
    for _ in range(2):
        page = await api.ask("GET", PAGE_PATH)
        (nonce,) = re.findall(r'property="csp-nonce" content="([^"]{24,})"', page.body.decode())
        assert f"style-src 'self' 'nonce-{nonce}'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        nonces.add(nonce)
    assert len(nonces) == 2


async def test_the_library_comes_compressed_to_whoever_takes_it(api: Api):
    for accepted, encoding in (("gzip, br", "gzip"), ("identity", None), ("gzip;q=0, identity", None)):
        # aiohttp's client decompresses by itself: what is compared is the length that was announced.
        answer = await api.ask("GET", LIBRARY_PATH, headers={"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.body.startswith(b"/*! @scalar/api-reference ")
        assert (int(answer.headers["Content-Length"]) < len(answer.body)) is (encoding == "gzip")


async def test_who_has_it_already_gets_it_not_again(api: Api):
    for path in ("/docs/reference.js", LIBRARY_PATH):
        first = await api.ask("GET", path)
        for has in (first.headers["ETag"], f'"x", {first.headers["ETag"]}', "*"):
            again = await api.ask("GET", path, headers={"If-None-Match": has})
            assert (again.status, again.body) == (304, b"")
        head = await api.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")


async def test_without_the_library_the_page_says_what_is_missing_and_where_the_documents_are(bare: Api):
    page = await bare.ask("GET", PAGE_PATH, key=None)
    assert page.status == 200
    text = page.body.decode()
    assert "make setup" in text
    links = set(re.findall(r'(?:src|href)="([^"]+)"', text)) - {"data:,"}
    assert links == {"docs/reference.css", "openapi.json", "asyncapi.json"}
    for link in links:
        assert (await bare.ask("GET", f"/{link}", key=None)).status == 200
    assert (await bare.ask("GET", LIBRARY_PATH, key=None)).status == 404


@pytest.mark.parametrize("script", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_the_scripts_are_such(script: Path):
    node = shutil.which("node")
    assert node, "Node is needed for the tests anyway"
    subprocess.run([node, "--check", str(script)], check=True, timeout=20)


def test_the_library_is_the_one_that_is_pinned_and_is_not_in_the_repository():
    made = gzip.decompress((ROOT / "docs" / "reference" / "dist" / "scalar.js.gz").read_bytes())
    pinned = (ROOT / "docs" / "reference" / "package.json").read_text()
    (version,) = re.findall(r'"@scalar/api-reference": "([\d.]+)"', pinned)
    assert made.startswith(f"/*! @scalar/api-reference {version} | MIT".encode())
    kept = subprocess.run(
        ["git", "ls-files", "docs/reference"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    assert [name for name in kept if "/dist/" in name] == []
