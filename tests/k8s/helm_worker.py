"""Runs inside .venv-k8s: reads jobs as JSON, answers as JSON. The real Helm code is in helm_python.

A job is {"do": "render", "values": {...} or a file's path, ...}; a failure is answered as {"error": text}.
"""

import json
import sys
from pathlib import Path

import yaml


def _values(job):
    """The layers of `values` (a map, a file's path, or several of them), the later over the earlier."""
    given = job.get("values") or {}
    values: dict[str, object] = {}
    for layer in given if isinstance(given, list) else [given]:
        values = _over(values, yaml.safe_load(Path(layer).read_text()) if isinstance(layer, str) else layer)
    return {**values, **job.get("set", {})}


def _over(below, above):
    both_maps = (key for key in below.keys() & above.keys() if isinstance(below[key], dict))
    return {**below, **above, **{key: _over(below[key], above[key]) for key in both_maps}}


def render(job):
    """The rendered objects by the path of their template, a second one of a template as path#2.

    `lookup` asks the cluster of `kubeconfig`.
    """
    import helm_python

    options = {
        "name": job.get("name", "demo"),
        "namespace": job.get("namespace", "web"),
        "is_install": not job.get("upgrade", False),
        "is_upgrade": job.get("upgrade", False),
    }
    with helm_python.Chart.load(job["chart"]) as chart:
        chart.validate_schema(_values(job))
        if "kubeconfig" in job:
            place = {"kubeconfig_content": job["kubeconfig"], "namespace": options["namespace"]}
            with helm_python.Config(**place) as cluster:
                rendered = cluster.render(chart, _values(job), **options)
        else:
            rendered = chart.render(_values(job), **options)
    notes = next(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
    objects = {}
    for path, text in rendered.items():
        if path.endswith(".yaml"):
            documents = [document for document in yaml.safe_load_all(text) if document]
            for number, document in enumerate(documents):
                name = path.partition("/templates/")[2]
                objects[name if number == 0 else f"{name}#{number + 1}"] = document
    return {"objects": objects, "notes": notes}


def lint(job):
    """What `helm lint --strict` finds at warning or above."""
    import helm_python

    report = helm_python.lint(
        job["chart"], _values(job), strict=True, namespace="web", kube_version=job["kube_version"]
    )
    return report["errors"] + [found["error"] for found in report["messages"] if found["severity"] > 1]


def package(job):
    """The path of the chart's archive, as `helm package` makes it."""
    import helm_python

    return helm_python.package(job["chart"], destination=job["destination"])


def validate(job):
    """What the strict schema of a Kubernetes version refuses; None for kinds it does not know (CRDs)."""
    import kubernetes_validate

    try:
        kubernetes_validate.validate(job["object"], job["kube_version"], strict=True)
    except kubernetes_validate.ValidationError as error:
        return {"refused": f"{error.path}: {error.message}"}
    except kubernetes_validate.SchemaNotFoundError:
        return {"unknown": job["object"]["kind"]}
    return {}


def parse_promql(job):
    """None when the expressions are PromQL, else what is wrong with the first that is not."""
    import promql_parser

    for expression in job["expressions"]:
        try:
            promql_parser.parse(expression)
        except ValueError as error:
            return f"{expression}: {error}"
    return None


def read_yaml(job):
    return yaml.safe_load(Path(job["path"]).read_text())


DO = {each.__name__: each for each in (render, lint, package, validate, parse_promql, read_yaml)}


def main():
    answers = []
    for job in json.load(sys.stdin):
        try:
            answers.append(DO[job.pop("do")](job))
        except Exception as error:
            answers.append({"error": f"{type(error).__name__}: {error}"})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
