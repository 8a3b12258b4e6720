"""What `make dist` builds, built once for all tests here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.k8s import toolbox


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with everything that is published."""
    place = tmp_path_factory.mktemp("dist")
    made = subprocess.run(
        [
            *("make", "dist", f"DIST={place}"),
            *("HOME_URL=https://git.example.org/team/notify/", "IMAGE=images.example.org/team/notify"),
        ],
        cwd=toolbox.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return place
