"""Programs of Debian that tests need and PyPI has not: nginx, redis-server.

They are looked for first. Where they are missing they are installed, if this is root on a Debian; elsewhere
the tests that need them are skipped, and the reason says what to install.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from _pytest.outcomes import Skipped

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Missing(Skipped):
    """Something that a test needs is not on this machine: it is skipped, and says what to install."""


@functools.cache
def program(name: str, package: str) -> str:
    """The path of a program, of this package if need be. Raises `Missing`, which skips a test, loudly."""
    found = shutil.which(name, path=PATH)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(package)
        found = shutil.which(name, path=PATH)
    if found is None:
        raise Missing(f"{name} is missing, and could not be installed: apt-get install {package}")
    return found


def _install(package: str) -> None:
    environ = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        # A package's server is not started on this machine: the tests run their own.
        "RUNLEVEL": "1",
    }
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=180", "-qq"]
    install = [*apt, "install", "-y", "--no-install-recommends", package]
    # The lists may be missing (a container image) or old: then again after an update.
    for command in (install, [*apt, "update"], install):
        done = subprocess.run(command, env=environ, capture_output=True, check=False, timeout=300)
        if done.returncode == 0 and command is install:
            return
