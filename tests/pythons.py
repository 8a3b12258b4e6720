"""The Python versions that are supported, as far as this machine has them; run: the tests on each of them.

    python -m tests.pythons          # all that are here
    python -m tests.pythons 3.12     # one

Each version gets an environment of its own (.venv-3.12), made by uv from the same pins as the first one.
Left out are the tests that need a browser: they look at pages, not at Python.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.k8s import toolbox

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_BROWSER = ("-m", "not browser")
VERSION = re.compile(r"Programming Language :: Python :: (3\.\d+)$")


def supported() -> list[str]:
    """The versions that the classifiers name, oldest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [found[1] for line in project["classifiers"] if (found := VERSION.match(line))]


def interpreter(version: str) -> str | None:
    """The path of a Python of this version: in PATH, else one that pyenv or uv keeps, else None."""
    homes = (Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python")
    kept = [str(path) for home in homes for path in sorted(home.glob(f"*{version}.*/bin/python{version}"))]
    for candidate in (shutil.which(f"python{version}"), *kept):
        # What lies in PATH may be a stand-in of pyenv's, which only says where the real one is.
        if (
            candidate
            and not subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode
        ):
            return candidate
    return None


def environment(version: str, base: str) -> Path:
    """The environment for the tests on this version; made, or brought up to date."""
    place = ROOT / f".venv-{version}"
    uv = str(toolbox.bin_dir() / "uv")
    if not (place / "bin" / "python").exists():
        subprocess.run([uv, "venv", "--quiet", "--no-project", "--python", base, str(place)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python")]
    pins = ["--require-hashes", "--requirement", str(ROOT / "requirements-dev.txt")]
    subprocess.run([*install, *pins], check=True)
    ours = ["--editable", str(ROOT), "--editable", str(ROOT / "client-demo" / "python")]
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "--offline", *ours], check=True)
    return place


def main(versions: list[str]) -> int:
    """Run the tests on these versions, or on all that are here. The exit status: 0 when all of them pass."""
    failed, missing = [], []
    for version in versions or supported():
        base = interpreter(version)
        if base is None:
            missing.append(version)
            continue
        place = environment(version, base)
        print(f"Python {version} ({base})", flush=True)
        environ = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ.get('PATH', '')}"}
        command = [str(place / "bin" / "python"), "-m", "pytest", "-q", *WITHOUT_BROWSER]
        if subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode:
            failed.append(version)
    if missing:
        print(f"Not on this machine, so not tried: Python {', '.join(missing)}")
    if failed:
        print(f"Failed on Python {', '.join(failed)}")
    return 1 if failed or (versions and missing) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
