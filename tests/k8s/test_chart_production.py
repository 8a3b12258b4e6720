"""With production.enabled the chart refuses what is unsafe there: each by itself, and all of them at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s import toolbox

Render = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.timeout(300)

SAFE = str(toolbox.CHART / "ci" / "production.yaml")
PRODUCTION = str(toolbox.CHART / "values-production.yaml")

UNSAFE: dict[str, dict[str, Any]] = {
    "generatedApiKeys": {"auth": {"apiKeys": {"existingSecret": {"name": ""}}}},
    "generatedJwtSecret": {"auth": {"jwt": {"jwksUrl": ""}}},
    "plainJwks": {"auth": {"jwt": {"jwksUrl": "http://id.example.com/jwks.json"}}},
    "anyAudience": {"auth": {"jwt": {"audience": ""}}},
    "generatedRedisPassword": {"redis": {"urlSecret": {"name": ""}}, "valkey": {"enabled": True}},
    "forgetfulRedis": {
        "redis": {"urlSecret": {"name": ""}},
        "valkey": {"enabled": True, "existingSecret": "mine", "persistence": {"enabled": False}},
    },
    "openRedis": {"redis": {"urlSecret": {"name": ""}, "host": "redis.example"}},
    "plainIngress": {"ingress": {"tls": []}},
    "publicService": {"service": {"public": {"type": "LoadBalancer"}}},
    "singlePod": {"replicaCount": 1},
    "noDisruptionBudget": {"podDisruptionBudget": {"enabled": False}},
    "noNetworkPolicy": {"networkPolicy": {"enabled": False}},
    "anyOrigin": {"settings": {"CORS_ORIGINS": "*"}},
    "movingImage": {"image": {"tag": "latest"}},
    "noMemoryLimit": {"resources": {"limits": {"memory": None}}},
    "privileged": {"containerSecurityContext": {"allowPrivilegeEscalation": True}},
}


def refused(render: Render, *layers: Any) -> str:
    with pytest.raises(RuntimeError) as failed:
        render(list(layers))
    return str(failed.value)


@pytest.mark.parametrize("name", UNSAFE)
def test_what_is_unsafe_is_refused_by_its_name_unless_it_is_accepted(render: Render, name: str) -> None:
    words = refused(render, SAFE, UNSAFE[name])
    assert words.count("\n- ") == 1, words
    assert f"production.except=[{name}]" in words
    assert render([SAFE, UNSAFE[name], {"production": {"enabled": True, "except": [name]}}])
    assert render([SAFE, UNSAFE[name], {"production": {"enabled": False}}]), (
        "elsewhere it is nobody's business"
    )


def test_each_way_to_be_privileged_counts(render: Render) -> None:
    for values in (
        {"podSecurityContext": {"runAsNonRoot": False}},
        {"podSecurityContext": {"runAsNonRoot": None}},
        {"containerSecurityContext": {"privileged": True}},
        {"containerSecurityContext": {"runAsNonRoot": False}},
        {"containerSecurityContext": {"allowPrivilegeEscalation": None}},
    ):
        assert "[privileged]" in refused(render, SAFE, values), values


def test_the_autoscalers_smallest_number_counts_where_it_decides(render: Render) -> None:
    autoscaling = {"autoscaling": {"enabled": True, "minReplicas": 1}}
    assert "[singlePod]" in refused(render, SAFE, autoscaling)
    assert render([SAFE, {"replicaCount": 1, "autoscaling": {"enabled": True, "minReplicas": 2}}])


def test_only_a_star_alone_is_any_origin(render: Render) -> None:
    named = {"settings": {"CORS_ORIGINS": "https://app.example.com, https://*.example.com"}}
    assert render([SAFE, named])
    assert "[anyOrigin]" in refused(render, SAFE, {"settings": {"CORS_ORIGINS": "https://a.example.com, *"}})


def test_every_refusal_is_tried_and_is_one_that_may_be_accepted() -> None:
    schema = json.loads((toolbox.CHART / "values.schema.json").read_text())
    names = schema["properties"]["production"]["properties"]["except"]["items"]["enum"]
    assert sorted(names) == sorted(UNSAFE)


def test_the_values_for_production_say_at_once_what_only_you_know(render: Render) -> None:
    words = refused(render, PRODUCTION)
    for wanted in ("redis.host", "auth.apiKeys.existingSecret.name", "auth.jwt.existingSecret.name"):
        assert wanted in words
    assert words.count("\n- ") == 3, words
    objects = render([PRODUCTION, SAFE])
    assert objects["deployment.yaml"]["spec"]["replicas"] == 3
    assert {"pdb.yaml", "servicemonitor.yaml", "prometheusrule.yaml"} <= set(objects)
