"""Where no browser can be had, that is said loudly and is no failure of the other tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.demo.service import ROOT

SCRIPT = ROOT / "tests" / "demo" / "browser.sh"


def test_without_a_browser_and_without_root_it_is_said_loudly(tmp_path: Path) -> None:
    nobody = tmp_path / "id"
    nobody.write_text("#!/bin/sh\necho 1000\n")
    nobody.chmod(0o755)
    cat = shutil.which("cat")
    assert cat
    (tmp_path / "cat").symlink_to(cat)
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "NO BROWSER" in done.stderr
    assert "NOT be tested" in done.stderr


def test_with_a_browser_it_is_silent(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)],
        env={"PATH": str(tmp_path), "DEMO_CHROMIUM": "/somewhere/chromium"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
