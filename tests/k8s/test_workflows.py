"""The workflows of .github: actionlint reads them, and what they name exists here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import pythons
from tests.k8s import toolbox

pytestmark = pytest.mark.timeout(300)

WORKFLOWS = sorted((toolbox.ROOT / ".github" / "workflows").glob("*.yaml"))


def workflow(name: str) -> dict[str, Any]:
    (path,) = [path for path in WORKFLOWS if path.stem == name]
    (found,) = toolbox.ask([{"do": "read_yaml", "path": str(path)}])
    return dict(found)


def commands(name: str) -> str:
    """All that a workflow runs."""
    jobs = workflow(name)["jobs"].values()
    return "\n".join(step.get("run", "") for job in jobs for step in job.get("steps", []))


def test_actionlint_finds_nothing() -> None:
    program = toolbox.actionlint()
    if program is None:
        pytest.skip("actionlint is built with Go 1.25 or newer, which is not on this machine")
    checked = subprocess.run(
        # Neither is installed by the project, and what happens to be here must not change what is found.
        [program, "-no-color", "-shellcheck=", "-pyflakes=", *map(str, WORKFLOWS)],
        cwd=toolbox.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_they_fit_the_schema_of_workflows() -> None:
    program = str(toolbox.bin_dir() / "check-jsonschema")
    command = [program, "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_they_name_exists(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (toolbox.ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ([\w-]+)", commands(path.stem)):
        assert target in targets
    for file in re.findall(r"\b(?:k8s|tests)/[\w./-]+", path.read_text()):
        assert (toolbox.ROOT / file).exists(), file
    for file in re.findall(r"uses: \./(\S+)", path.read_text()):
        assert (toolbox.ROOT / file).is_file(), file


def test_the_tests_run_on_every_supported_python() -> None:
    versions = workflow("tests")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert set(pythons.supported()) <= set(versions)
    assert versions == ["3.11", "3.12", "3.13", "3.14"]


def test_a_release_is_tested_first_and_pushes_image_and_chart() -> None:
    release = workflow("release")
    jobs = release["jobs"]
    assert release["true"]["push"]["tags"], "`on` is a truth in YAML 1.1"
    assert "tests" in jobs["image"]["needs"]
    assert "image" in jobs["chart"]["needs"]
    ran = commands("release")
    assert "docker buildx build" in ran
    assert '--tag "$REGISTRY/notify:$VERSION" --push' in ran
    assert 'helm push "dist/notify-$VERSION.tgz" "oci://$REGISTRY/charts"' in ran
    assert 'IMAGE="$REGISTRY/notify"' in ran, "the chart that is pushed starts the image that is pushed"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_they_may_no_more_than_they_need_and_let_nobody_in(path: Path) -> None:
    found = workflow(path.stem)
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        writes = {scope for scope, right in job.get("permissions", {}).items() if right == "write"}
        assert writes <= {"packages" if name in ("image", "chart") else "contents"}, name
        assert "timeout-minutes" in job or "uses" in job, name
    # A name that others choose (a branch, a title) never becomes part of a command.
    assert not re.search(r"\$\{\{", commands(path.stem))
    assert "pull_request_target" not in path.read_text()
