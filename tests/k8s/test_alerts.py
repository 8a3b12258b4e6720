"""Alerts, dashboard and documentation speak of metrics that exist, in PromQL that parses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from notify.ops.metrics import COUNTED, Metrics
from tests.k8s import toolbox

pytestmark = pytest.mark.timeout(300)

Objects = dict[str, Any]
NAME = re.compile(r"\b(notify_[a-z0-9_]+)")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
DOCS = toolbox.ROOT / "docs"


def declared() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every metric of ours as Prometheus shows it: type and labels."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for counted in COUNTED:
        name = counted.name + ("_total" if counted.kind == "counter" else "")
        found[name] = (counted.kind, tuple(counted.label.split(",")) if counted.label else ())
    registry = Metrics().registry
    for family in registry.collect():
        if family.name.startswith("notify_"):
            labels = vars(registry._names_to_collectors[family.name])["_labelnames"]
            found[family.name] = (family.type, tuple(labels))
    return found


def names() -> set[str]:
    """Every name that can stand in an expression."""
    return {
        name.removesuffix("_total") + suffix
        for name, (kind, _) in declared().items()
        for suffix in SUFFIXES[kind]
    }


def rules(scenarios: dict[str, Objects]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scenarios["ha"]["prometheusrule.yaml"]["spec"]["groups"][0]["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((toolbox.CHART / "files" / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_every_expression_is_promql_of_metrics_that_exist(scenarios: dict[str, Objects]) -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    for variable, value in {"$__rate_interval": "1m", "$namespace": "web", "$job": "notify-internal"}.items():
        queries = [query.replace(variable, value) for query in queries]
    expressions = [rule["expr"] for rule in rules(scenarios)] + queries
    assert toolbox.ask([{"do": "parse_promql", "expressions": expressions}]) == [None]
    assert len(rules(scenarios)) >= 10
    without_labels = [re.sub(r"\{.*?\}", "", expression) for expression in expressions]
    used = {name for expression in without_labels for name in NAME.findall(expression)}
    assert used <= names()


def test_labels_in_expressions_are_labels_of_those_metrics(scenarios: dict[str, Objects]) -> None:
    added_by_prometheus = {"pod", "namespace", "job", "le"}
    labels_of = {
        name.removesuffix("_total") + suffix: set(labels)
        for name, (kind, labels) in declared().items()
        for suffix in SUFFIXES[kind]
    }
    for expression in [rule["expr"] for rule in rules(scenarios)]:
        for name, inside in re.findall(r"(notify_\w+)\{(.*?)\}", expression):
            assert set(re.findall(r"(\w+)=", inside)) <= labels_of[name] | added_by_prometheus, expression
    for panel in panels():
        for target in panel["targets"]:
            wanted = {
                label for group in re.findall(r"by \((.*?)\)", target["expr"]) for label in group.split(", ")
            }
            known = set().union(
                *(labels_of[name] for name in NAME.findall(target["expr"]) if name in labels_of)
            )
            assert wanted <= known | added_by_prometheus, target["expr"]


def test_every_alert_has_its_section_in_the_runbook(scenarios: dict[str, Objects]) -> None:
    sections = re.findall(r"^## (\w+)$", (DOCS / "runbook.md").read_text(), flags=re.MULTILINE)
    assert sections == [rule["alert"] for rule in rules(scenarios)]
    for rule in rules(scenarios):
        assert rule["annotations"]["runbook_url"].endswith("#" + rule["alert"].lower())
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_a_disabled_alert_is_left_out(scenarios: dict[str, Objects]) -> None:
    everything = scenarios["everything-on"]["prometheusrule.yaml"]["spec"]["groups"][0]["rules"]
    assert {rule["alert"] for rule in rules(scenarios)} - {rule["alert"] for rule in everything} == {
        "NotifySlowConsumers"
    }


def test_the_dashboard_reaches_grafana_as_it_is(scenarios: dict[str, Objects]) -> None:
    data = scenarios["everything-on"]["dashboard.yaml"]["data"]["notify.json"]
    assert json.loads(data) == json.loads((toolbox.CHART / "files" / "dashboard.json").read_text())


def test_the_autoscaler_asks_for_a_metric_that_exists(scenarios: dict[str, Objects]) -> None:
    asked = [
        metric["pods"]["metric"]["name"]
        for metric in scenarios["ha"]["hpa.yaml"]["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    assert asked == ["notify_connections"]
    assert set(asked) <= names()


def test_the_table_of_metrics_is_the_registry() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([\w, -]+) \| (.+) \|$",
        (DOCS / "metrics.md").read_text(),
        flags=re.MULTILINE,
    )
    table = {
        name: (kind, () if labels == "-" else tuple(labels.split(", "))) for name, kind, labels, _ in rows
    }
    assert len(table) == len(rows), "each once"
    assert table == declared()


def test_documents_name_only_metrics_that_exist() -> None:
    for path in (DOCS / "runbook.md", DOCS / "metrics.md"):
        spoken = set(re.findall(r"`(notify_[a-z0-9_]+)`", path.read_text()))
        assert spoken <= names() | set(declared()), path
