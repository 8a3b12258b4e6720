"""Where a cluster wants something that the chart does not think of: each way out ends where it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s import toolbox

Objects = dict[str, Any]
Render = Callable[..., Objects]

pytestmark = pytest.mark.timeout(300)


def spec(objects: Objects, path: str = "deployment.yaml") -> dict[str, Any]:
    found: dict[str, Any] = objects[path]["spec"]["template"]["spec"]
    return found


def test_security_contexts_are_changed_field_by_field(render: Render) -> None:
    """OpenShift gives the user and the groups itself and refuses those of others."""
    none = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    objects = render(
        {
            "podSecurityContext": {**none, "supplementalGroups": [7]},
            "containerSecurityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
            "valkey": {"podSecurityContext": none, "containerSecurityContext": {"runAsUser": 5}},
        }
    )
    for pod in (spec(objects), objects["tests/notification.yaml"]["spec"]):
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "supplementalGroups": [7],
        }
        context = pod["containers"][0]["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
        assert context["readOnlyRootFilesystem"] is True
    valkey = spec(objects, "valkey/statefulset.yaml")
    assert "runAsUser" not in valkey["securityContext"]
    assert valkey["containers"][0]["securityContext"]["runAsUser"] == 5


def test_environment_volumes_and_containers_of_ones_own(render: Render) -> None:
    objects = render(
        {
            "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/ca/all.pem"}],
            "extraEnvFrom": [{"configMapRef": {"name": "proxies"}}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
            "initContainers": [{"name": "wait", "image": "busybox:1"}],
            "extraContainers": [{"name": "logs", "image": "vector:1"}],
            "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["redis.example"]}],
            "runtimeClassName": "gvisor",
        }
    )
    pod = spec(objects)
    server, beside = pod["containers"]
    assert {"name": "SSL_CERT_FILE", "value": "/ca/all.pem"} in server["env"]
    assert [list(each) for each in server["envFrom"]] == [["configMapRef"]] * 2
    assert server["envFrom"][-1]["configMapRef"]["name"] == "proxies", "the last one wins"
    assert {"name": "ca", "mountPath": "/ca"} in server["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in pod["volumes"]
    assert beside == {"name": "logs", "image": "vector:1"}
    assert pod["initContainers"] == [{"name": "wait", "image": "busybox:1"}]
    assert pod["hostAliases"][0]["ip"] == "10.1.2.3"
    assert pod["runtimeClassName"] == "gvisor"


def test_probes_are_changed_field_by_field_or_left_out(render: Render) -> None:
    probes = {"startup": {"failureThreshold": 90}, "liveness": None}
    server = spec(render({"probes": probes}))["containers"][0]
    assert server["startupProbe"] == {
        "httpGet": {"path": "/healthz", "port": "internal"},
        "periodSeconds": 2,
        "failureThreshold": 90,
    }
    assert "livenessProbe" not in server
    assert server["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_annotations_for_every_object_and_for_some(render: Render) -> None:
    values = {
        "commonAnnotations": {"example.com/team": "messaging", "example.com/tier": "all"},
        "deploymentAnnotations": {"reloader.example/auto": "true"},
        "podAnnotations": {"example.com/tier": "pods"},
        "valkey": {"podAnnotations": {"backup.example/on": "true"}, "podLabels": {"tier": "data"}},
        "ingress": {
            "enabled": True,
            "hosts": ["a.example"],
            "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "on"},
        },
        "service": {"public": {"annotations": {"example.com/tier": "public"}}},
        "metrics": {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")},
        "autoscaling": {"enabled": True},
        "gatewayApi": {"enabled": True, "parentRefs": [{"name": "g"}]},
    }
    objects = render(values)
    for path, each in objects.items():
        assert each["metadata"]["annotations"]["example.com/team"] == "messaging", path
        tier = "public" if path == "service-public.yaml" else "all"
        assert each["metadata"]["annotations"]["example.com/tier"] == tier, path
    assert objects["deployment.yaml"]["metadata"]["annotations"]["reloader.example/auto"] == "true"
    pods = objects["deployment.yaml"]["spec"]["template"]["metadata"]["annotations"]
    assert pods["example.com/tier"] == "pods"
    assert pods["example.com/team"] == "messaging"
    assert "checksum/config" in pods
    valkey = objects["valkey/statefulset.yaml"]["spec"]["template"]["metadata"]
    assert valkey["annotations"]["backup.example/on"] == "true"
    assert valkey["labels"]["tier"] == "data"
    ingress = objects["ingress.yaml"]["metadata"]["annotations"]
    assert ingress["nginx.ingress.kubernetes.io/proxy-buffering"] == "on", "yours win over the flavour's"
    assert ingress["nginx.ingress.kubernetes.io/affinity"] == "cookie"
    assert objects["secret.yaml"]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_load_balancer_of_a_class_for_some_networks(render: Render) -> None:
    public = {
        "type": "LoadBalancer",
        "loadBalancerClass": "service.k8s.aws/nlb",
        "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"],
        "externalTrafficPolicy": "Local",
        "nodePort": 30080,
    }
    service = render({"service": {"public": public}})["service-public.yaml"]["spec"]
    assert service["loadBalancerClass"] == "service.k8s.aws/nlb"
    assert service["loadBalancerSourceRanges"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert service["externalTrafficPolicy"] == "Local"
    assert service["ports"][0]["nodePort"] == 30080


def test_objects_of_ones_own_are_templates(render: Render) -> None:
    whole = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": '{{ include "notify.fullname" . }}-more'},
        "data": {"a": "b"},
    }
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-{{ .Release.Name }}}\n"
    objects = render({"extraObjects": [whole, text]})
    assert objects["extra-objects.yaml"]["metadata"]["name"] == "demo-notify-more"
    assert objects["extra-objects.yaml#2"]["metadata"]["name"] == "of-demo"
    assert not [path for path in render({}) if path.startswith("extra-objects")]


def test_the_network_policy_opens_where_it_is_told_to(render: Render) -> None:
    def internal(values: dict[str, Any]) -> list[Any]:
        rules = render({"networkPolicy": values})["networkpolicy.yaml"]["spec"]["ingress"]
        (door,) = [rule["from"] for rule in rules if rule["ports"] == [{"port": "internal"}]]
        return list(door)

    assert {"podSelector": {}} in internal({}), "a backend beside it may post"
    assert {"podSelector": {}} not in internal({"internalFromOwnNamespace": False})
    rule = {"ports": [{"port": 15090}]}
    policy = render({"networkPolicy": {"extraIngress": [rule], "extraEgress": [rule]}})["networkpolicy.yaml"]
    assert policy["spec"]["ingress"][-1] == policy["spec"]["egress"][-1] == rule


def test_nodes_reach_each_other_whoever_else_is_kept_out(render: Render) -> None:
    objects = render({"networkPolicy": {"internalFromOwnNamespace": False}, "ports": {"internal": 9091}})
    nodes = {"podSelector": objects["deployment.yaml"]["spec"]["selector"]}
    policy = objects["networkpolicy.yaml"]["spec"]
    (door,) = [rule["from"] for rule in policy["ingress"] if rule["ports"] == [{"port": "internal"}]]
    assert nodes in door
    assert {"ports": [{"port": 9091}], "to": [nodes]} in policy["egress"]


def test_a_typing_error_in_a_way_out_is_named(render: Render) -> None:
    for values, word in (
        ({"extraVolumeMounts": [{"name": "ca"}]}, "mountPath"),
        ({"initContainers": [{"image": "busybox"}]}, "name"),
        ({"probes": {"ready": {}}}, "ready"),
        ({"production": {"except": ["everything"]}}, "except"),
        ({"service": {"public": {"loadBalancerSourceRanges": ["192.0.2.0"]}}}, "loadBalancerSourceRanges"),
    ):
        with pytest.raises(RuntimeError) as failed:
            render(values)
        assert word in str(failed.value)


def test_the_scenario_with_everything_uses_all_of_them(scenarios: dict[str, Objects]) -> None:
    """So that linter, schemas and checkov see them too."""
    pod = spec(scenarios["everything-on"])
    assert len(pod["containers"]) == 2
    assert pod["initContainers"]
    assert "extra-objects.yaml" in scenarios["everything-on"]
    assert toolbox.CHART.joinpath("ci", "everything-on.yaml").is_file()
