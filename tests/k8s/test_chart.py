"""What the chart promises, over all scenarios and for single values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from notify.settings.settings import Settings
from tests.k8s import toolbox

Objects = dict[str, Any]
Render = Callable[..., Objects]

pytestmark = pytest.mark.timeout(300)

SMALLEST = {"redis": {"host": "redis"}}


def pod(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = objects["deployment.yaml"]["spec"]["template"]["spec"]
    return found


def container(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = pod(objects)["containers"][0]
    return found


def selectors(objects: Objects) -> Iterator[dict[str, str]]:
    """Everything in these objects that selects pods of ours."""
    for each in objects.values():
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            yield spec["selector"]
        if each["kind"] == "ServiceMonitor":
            continue  # selects a Service
        for name in ("selector", "podSelector"):
            if isinstance(spec.get(name), dict) and "matchLabels" in spec[name]:
                yield spec[name]["matchLabels"]
        for constraint in spec.get("template", {}).get("spec", {}).get("topologySpreadConstraints", []):
            yield constraint["labelSelector"]["matchLabels"]


def test_the_kubelet_never_kills_before_the_drain_is_over(scenarios: dict[str, Objects]) -> None:
    for name, objects in scenarios.items():
        settings = objects["configmap.yaml"]["data"]
        hook = container(objects).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        down = (
            hook
            + float(settings["NOTIFY_DRAIN_DELAY"])
            + float(settings["NOTIFY_DRAIN_SECONDS"])
            + float(settings["NOTIFY_SHUTDOWN_SECONDS"])
        )
        assert pod(objects)["terminationGracePeriodSeconds"] >= down + 10, name


def test_a_rollout_takes_no_node_away_before_its_successor_is_ready(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        deployment = objects["deployment.yaml"]["spec"]
        assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert deployment["minReadySeconds"] > 0
        probes = {
            kind: container(objects)[f"{kind}Probe"]["httpGet"]
            for kind in ("startup", "readiness", "liveness")
        }
        assert {probe["port"] for probe in probes.values()} == {"internal"}
        assert probes["readiness"]["path"] == "/readyz"
        assert probes["liveness"]["path"] == probes["startup"]["path"] == "/healthz"


def test_the_server_gets_the_signal_itself(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        assert container(objects)["args"] == ["serve"]
        assert "command" not in container(objects), "the image's ENTRYPOINT, in exec form"
    instructions = (toolbox.ROOT / "k8s" / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["notify"]' in instructions
    assert 'CMD ["serve"]' in instructions
    assert "STOPSIGNAL SIGTERM" in instructions


def test_no_service_called_notify_can_break_the_settings(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        assert pod(objects)["enableServiceLinks"] is False


def test_the_pod_may_do_nothing_but_serve(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        assert objects["serviceaccount.yaml"]["automountServiceAccountToken"] is False
        assert pod(objects)["automountServiceAccountToken"] is False
        assert container(objects)["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod(objects)["securityContext"]["runAsNonRoot"] is True


def test_selectors_hold_no_version_so_that_an_upgrade_can_keep_them(
    render: Render, scenarios: dict[str, Objects]
) -> None:
    for objects in scenarios.values():
        for labels in selectors(objects):
            assert not set(labels) & {
                "app.kubernetes.io/version",
                "helm.sh/chart",
                "app.kubernetes.io/managed-by",
            }
    before = render(SMALLEST)
    after = render({**SMALLEST, "image": {"tag": "9.9.9"}, "commonLabels": {"team": "x"}}, upgrade=True)
    assert list(selectors(before)) == list(selectors(after))
    assert before["deployment.yaml"]["spec"]["selector"] == after["deployment.yaml"]["spec"]["selector"]


def test_selectors_find_the_pods(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        labels = [
            each["spec"]["template"]["metadata"]["labels"].items()
            for each in objects.values()
            if each["kind"] in ("Deployment", "StatefulSet")
        ]
        for wanted in selectors(objects):
            assert any(wanted.items() <= have for have in labels), wanted


def test_a_changed_setting_rolls_the_pods_and_an_unchanged_one_does_not(render: Render) -> None:
    def annotations(values: dict[str, Any]) -> dict[str, str]:
        given = {
            "auth": {"jwt": {"existingSecret": {"name": "a"}}, "apiKeys": {"existingSecret": {"name": "b"}}}
        }
        found: dict[str, str] = render({**SMALLEST, **given, **values})["deployment.yaml"]["spec"][
            "template"
        ]["metadata"]["annotations"]
        return found

    assert annotations({}) == annotations({"replicaCount": 5})
    assert (
        annotations({})["checksum/config"]
        != annotations({"settings": {"MAX_PAYLOAD": 70000}})["checksum/config"]
    )


def test_the_checksum_is_of_the_secret_that_is_written(render: Render) -> None:
    """Random values are made once in a rendering: two renderings differ, Secret and checksum of one agree."""
    first, second = render(SMALLEST), render(SMALLEST)
    assert first["secret.yaml"]["data"] != second["secret.yaml"]["data"]
    checksums = {
        each["deployment.yaml"]["spec"]["template"]["metadata"]["annotations"]["checksum/secrets"]
        for each in (first, second)
    }
    assert len(checksums) == 2


def test_every_setting_is_one_that_the_server_knows(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        environ: dict[str, str] = dict(objects["configmap.yaml"]["data"])
        for variable in container(objects)["env"]:
            if variable["name"].startswith("NOTIFY_") and not variable["name"].endswith("_FILE"):
                text = variable.get("value", "demo-notify-7c9d-x2x4z")
                environ[variable["name"]] = text.replace("$(POD_IP)", "10.0.0.7")
        settings = Settings.load(environ)  # raises SettingsError for names and values it does not know
        ports = {each["name"]: each["containerPort"] for each in container(objects)["ports"]}
        assert ports == {"public": settings.port, "internal": settings.internal_port}
        assert settings.internal_host == "0.0.0.0"
        hook = container(objects).get("lifecycle", {})
        assert hook or objects["deployment.yaml"]["metadata"]["name"] == "tidings"


def test_numbers_reach_the_server_as_they_were_written(render: Render) -> None:
    objects = render({**SMALLEST, "settings": {"SEND_BUFFER_LIMIT": 16777216, "HANDSHAKE_RATE": 0.5}})
    assert objects["configmap.yaml"]["data"]["NOTIFY_SEND_BUFFER_LIMIT"] == "16777216"
    assert objects["configmap.yaml"]["data"]["NOTIFY_HANDSHAKE_RATE"] == "0.5"


def test_secrets_are_files_and_stand_in_no_configmap(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        from_secrets = [
            each["name"] for each in container(objects)["env"] if "secretKeyRef" in each.get("valueFrom", {})
        ]
        assert set(from_secrets) <= {"REDIS_PASSWORD"}
        texts = json.dumps([each for each in objects.values() if each["kind"] == "ConfigMap"])
        assert "JWT_SECRET" not in texts
        assert "API_KEYS" not in texts


def test_the_redis_url_of_each_kind_of_redis(render: Render) -> None:
    def url(redis: dict[str, Any]) -> tuple[str, list[str]]:
        env = container(render({"redis": redis}))["env"]
        return next(each["value"] for each in env if each["name"] == "NOTIFY_REDIS_URL"), [
            each["name"] for each in env
        ]

    assert url({"host": "redis"})[0] == "redis://redis:6379/0"
    found, names = url(
        {"host": "r", "port": 1, "database": 3, "username": "u", "passwordSecret": {"name": "s"}}
    )
    assert found == "redis://u:$(REDIS_PASSWORD)@r:1/3"
    assert names.index("REDIS_PASSWORD") < names.index("NOTIFY_REDIS_URL"), "or it would not be filled in"
    tls = {"enabled": True, "caSecret": {"name": "ca"}}
    assert url({"host": "r", "tls": tls})[0] == "rediss://r:6379/0?ssl_ca_certs=/etc/notify/redis-ca/ca.crt"
    nodes = {"nodes": ["a:26379", "b:26379"], "master": "main"}
    assert url({"sentinel": nodes})[0] == "redis+sentinel://a:26379,b:26379/0/main"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"valkey": {"enabled": False}}, "set redis.host, redis.sentinel.nodes"),
        ({**SMALLEST, "settings": {"PORT": 80}}, "a value of its own"),
        ({**SMALLEST, "settings": {"JWT_SECRET": "x"}}, "never from a ConfigMap"),
        ({**SMALLEST, "settings": {"ADVERTISE_URL": "http://a:1"}}, "never from a ConfigMap"),
        ({**SMALLEST, "settings": {"NOTIFY_MAX_PAYLOAD": 1}}, "NOTIFY_MAX_PAYLOAD"),
        ({**SMALLEST, "replicas": 3}, "replicas"),
        ({**SMALLEST, "gatewayApi": {"enabled": True}}, "parentRefs"),
        ({**SMALLEST, "ingress": {"enabled": True}}, "hosts"),
        ({**SMALLEST, "autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}}, "larger than"),
        (
            {**SMALLEST, "auth": {"jwt": {"jwksUrl": "https://id", "existingSecret": {"name": "x"}}}},
            "set only one",
        ),
        ({**SMALLEST, "service": {"public": {"nodePort": 30080}}}, "nodePort needs"),
        ({**SMALLEST, "service": {"public": {"loadBalancerClass": "x"}}}, "loadBalancerClass"),
        # `settings` is held to what the server would say at its start.
        ({**SMALLEST, "settings": {"MAX_PAYLOADS": 70000}}, "MAX_PAYLOADS"),
        ({**SMALLEST, "settings": {"MAX_PAYLOAD": 7}}, "MAX_PAYLOAD"),
        ({**SMALLEST, "settings": {"MAX_PAYLOAD": "much"}}, "MAX_PAYLOAD"),
        ({**SMALLEST, "settings": {"MAX_CONNECTIONS": 1.5}}, "MAX_CONNECTIONS"),
        ({**SMALLEST, "settings": {"CORS_ORIGINS": ["https://a.example"]}}, "CORS_ORIGINS"),
    ],
)
def test_a_mistake_in_the_values_is_named(render: Render, values: dict[str, Any], words: str) -> None:
    with pytest.raises(RuntimeError) as failed:
        render(values)
    assert words in str(failed.value)


def test_only_the_public_port_can_be_reached_from_outside(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        public = objects["service-public.yaml"]
        assert [port["targetPort"] for port in public["spec"]["ports"]] == ["public"]
        internal = objects["service-internal.yaml"]
        assert internal["spec"]["type"] == "ClusterIP"
        for rule in objects.get("ingress.yaml", {"spec": {"rules": []}})["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["path"] == "/socket.io/"
                assert path["backend"]["service"]["name"] == public["metadata"]["name"]
        for rule in objects.get("httproute.yaml", {"spec": {"rules": []}})["spec"]["rules"]:
            assert [match["path"]["value"] for match in rule["matches"]] == ["/socket.io/"]
            assert [each["name"] for each in rule["backendRefs"]] == [public["metadata"]["name"]]
        doors = objects["networkpolicy.yaml"]["spec"]["ingress"]
        (internal_door,) = [door for door in doors if door["ports"] == [{"port": "internal"}]]
        assert internal_door["from"], "an empty list would let everyone in"


@pytest.mark.parametrize(
    ("address", "host"), [("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]")], ids=["IPv4", "IPv6"]
)
def test_pods_tell_each_other_where_they_are(scenarios: dict[str, Objects], address: str, host: str) -> None:
    for name, objects in scenarios.items():
        env = container(objects)["env"]
        names = [each["name"] for each in env]
        assert env[names.index("POD_IP")]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
        place = names.index("NOTIFY_ADVERTISE_URL")
        assert names.index("POD_IP") < place, "or it would not be filled in"
        told = env[place]["value"].replace("$(POD_IP)", address)
        ports = {each["name"]: each["containerPort"] for each in container(objects)["ports"]}
        url = f"http://{host}:{ports['internal']}"
        assert Settings.load({"NOTIFY_ADVERTISE_URL": told}).advertise_url == url, name
        policy = objects["networkpolicy.yaml"]["spec"]
        ours = {"podSelector": {"matchLabels": policy["podSelector"]["matchLabels"]}}
        (door,) = [door for door in policy["ingress"] if door["ports"] == [{"port": "internal"}]]
        assert ours in door["from"]
        assert {"ports": [{"port": ports["internal"]}], "to": [ours]} in policy["egress"]


def test_proxies_wait_longer_than_the_ping(scenarios: dict[str, Objects], render: Render) -> None:
    slow = render(
        {
            **SMALLEST,
            "ping": {"intervalSeconds": 3000, "timeoutSeconds": 600},
            "ingress": {"enabled": True, "hosts": ["a.example"]},
        }
    )
    for objects in (*scenarios.values(), slow):
        annotations = objects.get("ingress.yaml", {"metadata": {}})["metadata"].get("annotations", {})
        settings = objects["configmap.yaml"]["data"]
        silence = float(settings["NOTIFY_PING_INTERVAL"]) + float(settings["NOTIFY_PING_TIMEOUT"])
        for name in ("proxy-read-timeout", "proxy-send-timeout"):
            timeout = annotations.get(f"nginx.ingress.kubernetes.io/{name}")
            assert timeout is None or float(timeout) > silence


def test_the_autoscaler_and_the_replica_count_do_not_fight(scenarios: dict[str, Objects]) -> None:
    for objects in scenarios.values():
        assert ("hpa.yaml" in objects) != ("replicas" in objects["deployment.yaml"]["spec"])


def test_the_service_monitor_finds_the_internal_service(scenarios: dict[str, Objects]) -> None:
    objects = scenarios["everything-on"]
    monitor, service = objects["servicemonitor.yaml"]["spec"], objects["service-internal.yaml"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert (
        not monitor["selector"]["matchLabels"].items()
        <= objects["service-public.yaml"]["metadata"]["labels"].items()
    )
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_two_mistakes_are_named_at_once(render: Render) -> None:
    with pytest.raises(RuntimeError) as failed:
        render({"valkey": {"enabled": False}, "gatewayApi": {"enabled": True}})
    assert "set redis.host" in str(failed.value)
    assert "parentRefs" in str(failed.value)


def test_settings_may_be_given_as_text(render: Render) -> None:
    """As `--set-string` and Argo CD's parameters do."""
    objects = render({**SMALLEST, "settings": {"MAX_PAYLOAD": "131072", "HANDSHAKE_RATE": "0.5"}})
    assert objects["configmap.yaml"]["data"]["NOTIFY_MAX_PAYLOAD"] == "131072"
    assert objects["configmap.yaml"]["data"]["NOTIFY_HANDSHAKE_RATE"] == "0.5"


def test_the_valkey_inside_gives_way_to_a_redis_that_is_named(render: Render) -> None:
    assert "valkey/statefulset.yaml" in render({})
    for redis in ({"host": "r"}, {"sentinel": {"nodes": ["a:26379"]}}, {"urlSecret": {"name": "s"}}):
        objects = render({"redis": redis})
        assert not [path for path in objects if path.startswith("valkey/")]
        peers = [rule["to"] for rule in objects["networkpolicy.yaml"]["spec"]["egress"] if "to" in rule]
        assert "valkey" not in json.dumps(peers)
