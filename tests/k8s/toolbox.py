"""The tools that live apart from the service: Helm, checkov, hadolint, actionlint and the like.

They clash with the service's own libraries or are heavy, so they get an environment of their own,
`.venv-k8s`, made here from the hash-pinned requirements.txt beside this file and used again as long as that
file stays the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHART = ROOT / "k8s" / "notify"
SCENARIOS = sorted((CHART / "ci").glob("*.yaml"))
REQUIREMENTS = HERE / "requirements.txt"
PLACE = ROOT / ".venv-k8s"
OLDEST, NEWEST = "1.29", "1.37"
"""Of Kubernetes: Chart.yaml's kubeVersion, and the newest that the schemas know."""


def bin_dir() -> Path:
    """The environment's programs; made when it is missing or its requirements changed."""
    PLACE.mkdir(exist_ok=True)
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = PLACE / ".requirements.sha256"
    # Not `.lock`: that one is uv's own, which would wait for us as we wait for it.
    with (PLACE / ".making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            _install()
            stamp.write_text(wanted)
    return PLACE / "bin"


def _install() -> None:
    """pip installs uv, which installs the rest in a fifth of the time; where uv cannot, pip does that too."""
    venv.create(PLACE, with_pip=True, clear=False)
    python = str(PLACE / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "--quiet"]
    pins = re.findall(r"^uv==.*?(?=^\S|\Z)", REQUIREMENTS.read_text(), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as directory:
        of_uv = Path(directory) / "uv.txt"
        of_uv.write_text("".join(pins))
        subprocess.run([*pip, "--require-hashes", "-r", str(of_uv)], check=True)
    everything = ["--require-hashes", "-r", str(REQUIREMENTS)]
    by_uv = [str(PLACE / "bin" / "uv"), "pip", "install", "--quiet", "--python", python, *everything]
    if subprocess.run(by_uv, check=False).returncode:
        subprocess.run([*pip, *everything], check=True)


def actionlint() -> str | None:
    """The program that checks workflows, built as go.sum has it; None where Go is missing or too old."""
    go = shutil.which("go")
    source = HERE / "actionlint"
    if go is None or _go_version(go) < _version_in((source / "go.mod").read_text(), r"^go (\S+)"):
        return None
    program = bin_dir() / "actionlint"
    sums = source / "go.sum"
    with (PLACE / ".making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists() or program.stat().st_mtime < sums.stat().st_mtime:
            package = "github.com/rhysd/actionlint/cmd/actionlint"
            build = [go, "build", "-mod=readonly", "-trimpath", "-o", str(program), package]
            subprocess.run(build, cwd=source, check=True)
    return str(program)


def _go_version(go: str) -> tuple[int, ...]:
    asked = [go, "env", "GOVERSION"]
    said = subprocess.run(asked, cwd="/", capture_output=True, text=True, check=True).stdout
    return _version_in(said, r"^go([\d.]+)")


def _version_in(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else ()


def ask(jobs: list[dict[str, Any]]) -> list[Any]:
    """Have helm_worker.py do the jobs inside the environment; one answer for each."""
    finished = subprocess.run(
        [str(bin_dir() / "python"), str(HERE / "helm_worker.py")],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    answers: list[Any] = json.loads(finished.stdout)
    return answers


if __name__ == "__main__":
    print(bin_dir())
