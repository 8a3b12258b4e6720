"""The package as it is published: its size, its types, what it needs, where it can be loaded."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.inbox_element.service import ROOT

PACKAGE = ROOT / "client-demo" / "inbox"


def without_comments(file: str) -> str:
    text = (PACKAGE / file).read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=[;,{(\[]) // .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n\s*\n", "\n", text)


def gzipped(*files: str) -> int:
    return len(gzip.compress("".join(map(without_comments, files)).encode(), 9))


def test_it_is_small() -> None:
    assert gzipped("inbox.js") <= 4096
    assert gzipped("inbox.js", "element.js") <= 12_288


def test_the_types_hold_for_who_uses_them() -> None:
    done = subprocess.run(
        ["node_modules/.bin/tsc", "-p", "tests/inbox_element"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_depends_on_nothing() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert "dependencies" not in package
    assert all(each["optional"] for each in package["peerDependenciesMeta"].values())
    imported = {
        name
        for file in PACKAGE.glob("*.js")
        for name in re.findall(r'^import .*"(.+)";$', file.read_text(), re.MULTILINE)
    }
    assert imported == {"./inbox.js", "./element.js", "react"}


def test_every_export_is_there_with_its_types() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    files = {file for target in package["exports"].values() for file in target.values()}
    assert len(files) == 6
    assert [file for file in files if not (PACKAGE / file).is_file()] == []


@pytest.mark.parametrize("name", ["notify-inbox", "notify-inbox/element", "notify-inbox/react"])
def test_it_loads_where_there_is_no_document(tmp_path: Path, name: str) -> None:
    modules = tmp_path / "node_modules"
    modules.mkdir()
    for package in ("react",):
        (modules / package).symlink_to(ROOT / "node_modules" / package)
    (modules / "notify-inbox").symlink_to(PACKAGE)
    (tmp_path / "main.mjs").write_text(
        f'const all = await import("{name}"); console.log(Object.keys(all).join());'
    )
    done = subprocess.run(
        ["node", "main.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("Inbox", "NotifyInbox", "NotifyInbox,useInbox")
