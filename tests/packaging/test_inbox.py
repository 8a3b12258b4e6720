"""The inbox as npm installs it, into a project that has nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import notify
from tests.k8s import toolbox
from tests.packaging.test_packages import archive

pytestmark = pytest.mark.timeout(120)

SOURCE = toolbox.ROOT / "client-demo" / "inbox"

PROJECT = """
import assert from "node:assert/strict";
const { Inbox } = await import("notify-inbox");
assert.ok(Inbox.prototype instanceof EventTarget);
// Without a browser there is no element to define, and loading it must not fail for that.
const { NotifyInbox } = await import("notify-inbox/element");
assert.equal(typeof NotifyInbox, "function");
await assert.rejects(import("notify-inbox/inbox.js"), { code: "ERR_PACKAGE_PATH_NOT_EXPORTED" });
"""


def tarball(dist: Path) -> Path:
    return dist / f"notify-inbox-{notify.__version__}.tgz"


def test_it_has_every_file_of_the_inbox_under_the_version_of_the_service(dist: Path) -> None:
    files = archive(tarball(dist))
    assert set(files) == {path.name for path in SOURCE.iterdir() if path.is_file()}
    described = json.loads(files["package.json"])
    assert (described["name"], described["version"]) == ("notify-inbox", notify.__version__)


def test_it_is_installed_without_a_registry_and_imported(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "application", "private": true, "type": "module"}')
    (tmp_path / "main.js").write_text(PROJECT)
    for command in (
        ["npm", "install", "--offline", "--no-audit", "--no-fund", str(tarball(dist))],
        ["node", "main.js"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    installed = {path.name for path in (tmp_path / "node_modules").iterdir() if path.name[0] != "."}
    assert installed == {"notify-inbox"}, "what it can do without it does not bring"
