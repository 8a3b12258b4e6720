"""Every scenario of the chart, judged by others: Helm's linter, the schemas of Kubernetes, checkov."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.k8s import toolbox

pytestmark = pytest.mark.timeout(300)

CUSTOM = {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}
"""Kinds of operators, which no schema of Kubernetes itself describes."""


def test_helm_lints_every_scenario_clean() -> None:
    found = toolbox.ask(
        [
            {"do": "lint", "chart": str(toolbox.CHART), "values": str(path), "kube_version": f"v{version}.0"}
            for path in toolbox.SCENARIOS
            for version in (toolbox.OLDEST, toolbox.NEWEST)
        ]
    )
    assert found == [[]] * (2 * len(toolbox.SCENARIOS))


def test_every_object_fits_the_schemas_of_the_oldest_and_the_newest_kubernetes(
    versions: dict[str, dict[str, dict[str, Any]]],
) -> None:
    jobs = [
        {"do": "validate", "object": each, "kube_version": version, "where": f"{name} {path} {version}"}
        for version, scenarios in versions.items()
        for name, objects in scenarios.items()
        for path, each in objects.items()
    ]
    answers = toolbox.ask(jobs)
    refused = {
        job["where"]: answer
        for job, answer in zip(jobs, answers, strict=True)
        if answer and answer.get("unknown") not in CUSTOM
    }
    assert refused == {}
    kinds = {job["object"]["kind"] for job in jobs}
    assert kinds > CUSTOM | {"StatefulSet", "Ingress", "HorizontalPodAutoscaler", "NetworkPolicy"}


def test_checkov_finds_nothing_that_is_not_explained(
    scenarios: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """One run for all scenarios and the Dockerfile; what is skipped has its reason in k8s/checkov.yaml."""
    for name, objects in scenarios.items():
        for path, each in objects.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(each, indent=1))  # JSON is YAML
    (tmp_path / "Dockerfile").write_bytes((toolbox.ROOT / "k8s" / "Dockerfile").read_bytes())
    finished = subprocess.run(
        [
            str(toolbox.bin_dir() / "checkov"),
            *("--directory", str(tmp_path), "--config-file", str(toolbox.ROOT / "k8s" / "checkov.yaml")),
            *("--output", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    reports = json.loads(finished.stdout)
    found = [
        f"{check['check_id']} {check['check_name']}: {check['file_path']} {check['resource']}"
        for report in reports
        for check in report["results"]["failed_checks"]
    ]
    assert not found, "\n".join(sorted(set(found)))
    passed = {report["check_type"]: report["summary"]["passed"] for report in reports}
    assert passed["kubernetes"] > 500
    assert passed["dockerfile"] > 5
