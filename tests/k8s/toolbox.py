"""The tools that live apart from the service: Helm, checkov, kubernetes-validate, hadolint, promql-parser.

They clash with the service's own libraries or are heavy, so they get an environment of their own,
`.venv-k8s`, made here from the hash-pinned requirements.txt beside this file and used again as long as that
file stays the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
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
