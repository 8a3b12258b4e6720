"""Programs of Debian that tests need and PyPI has not: nginx, redis-server.

They are looked for first. Where they are missing they are installed, if this is root on a Debian; elsewhere the
tests that need them are skipped, and the reason says what to install.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@functools.cache
def program(name: str, package: str) -> str:
    """The path of a program, of this package if need be. Skips the test, loudly, where it cannot be had."""
    found = shutil.which(name, path=PATH)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(package)
        found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is missing, and could not be installed: apt-get install {package}")
    return found


def _install(package: str) -> None:
    environ = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        # A package's server is not started on this machine: the tests run their own.
        "RUNLEVEL": "1",
    }
    install = [
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=180",
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        package,
    ]
    for command in (install, ["apt-get", "-o", "DPkg::Lock::Timeout=180", "update", "-qq"], install):
        if (
            subprocess.run(command, env=environ, capture_output=True, check=False, timeout=300).returncode
            == 0
        ):
            if command is install:
                return
