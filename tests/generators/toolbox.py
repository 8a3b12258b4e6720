"""The generators of API clients and the linter of documents, each installed apart from the service.

What they are is pinned in the files beside this one.

`.venv-generators` is made here from the hash-pinned requirements.txt, `node_modules` from package-lock.json;
both are used again as long as those stay the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REQUIREMENTS = HERE / "requirements.txt"
LOCK = HERE / "package-lock.json"
PLACE = ROOT / ".venv-generators"
MODULES = HERE / "node_modules"


def python() -> Path:
    """The interpreter of the environment with the generators that are written in Python."""
    _made(PLACE, REQUIREMENTS, _install_python)
    return PLACE / "bin" / "python"


def node_program(name: str) -> Path:
    """A program of the packages that are written in TypeScript."""
    _made(MODULES, LOCK, _install_node)
    return MODULES / ".bin" / name


def run(*command: str | Path, directory: Path, may_fail: bool = False) -> str:
    """Run a program in a directory; what it says. Fails with all of that, unless it `may_fail`."""
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = finished.stdout + finished.stderr
    assert may_fail or finished.returncode == 0, f"{command}:\n{said}"
    return said


def _made(place: Path, pins: Path, install: Callable[[], None]) -> None:
    PLACE.mkdir(exist_ok=True)
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    stamp = PLACE / f".{pins.name}.sha256"
    with (PLACE / ".making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists() or not stamp.exists() or stamp.read_text() != wanted:
            install()
            stamp.write_text(wanted)


def _install_python() -> None:
    venv.create(PLACE, with_pip=True, clear=False)
    pip = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)


def _install_node() -> None:
    npm = shutil.which("npm")
    assert npm is not None, "npm is needed"
    subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE, check=True)
