"""Generated secrets are made once: Helm's `lookup` finds them at an upgrade, and an uninstall leaves them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from notify.settings.settings import Settings
from tests.k8s.api_server import ApiServer

Render = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.timeout(300)

VALUES: dict[str, Any] = {}
"""What is generated as the chart comes: everything."""
SECRETS = ("secret.yaml", "valkey/secret.yaml")


def checksum(objects: dict[str, Any]) -> str:
    annotations: dict[str, str] = objects["deployment.yaml"]["spec"]["template"]["metadata"]["annotations"]
    return annotations["checksum/secrets"]


def text(objects: dict[str, Any], path: str, key: str) -> str:
    return base64.b64decode(objects[path]["data"][key]).decode()


def test_an_upgrade_keeps_what_the_installation_generated(render: Render) -> None:
    with ApiServer() as cluster:
        installed = render(VALUES, kubeconfig=cluster.kubeconfig)
        assert any("secrets" in path for path in cluster.asked), "lookup has asked this server"
        for path in SECRETS:
            cluster.keep(installed[path])
        upgraded = render({**VALUES, "replicaCount": 4}, kubeconfig=cluster.kubeconfig, upgrade=True)
    for path in SECRETS:
        assert upgraded[path]["data"] == installed[path]["data"]
    assert checksum(upgraded) == checksum(installed), "an unchanged secret rolls no pod"


def test_a_key_that_is_missing_in_the_secret_is_added_and_the_others_stay(render: Render) -> None:
    with ApiServer() as cluster:
        installed = render(VALUES, kubeconfig=cluster.kubeconfig)
        del installed["secret.yaml"]["data"]["api-keys"]
        cluster.keep(installed["secret.yaml"])
        upgraded = render(VALUES, kubeconfig=cluster.kubeconfig, upgrade=True)
    assert upgraded["secret.yaml"]["data"]["jwt-secret"] == installed["secret.yaml"]["data"]["jwt-secret"]
    assert len(text(upgraded, "secret.yaml", "api-keys")) == 48


def test_a_secret_of_ones_own_rolls_the_pods_when_it_has_changed(render: Render) -> None:
    values = {
        "redis": {"urlSecret": {"name": "mine"}},
        "auth": {"jwt": {"existingSecret": {"name": "jwt"}}, "apiKeys": {"existingSecret": {"name": "keys"}}},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "namespace": "web"}}
    checksums = []
    with ApiServer() as cluster:
        for password in ("b25l", "b25l", "dHdv"):
            cluster.keep({**secret, "data": {"redis-url": password}})
            objects = render(values, kubeconfig=cluster.kubeconfig)
            assert not [path for path in SECRETS if path in objects], "nothing is generated beside it"
            checksums.append(checksum(objects))
    assert checksums[0] == checksums[1] != checksums[2]


def test_an_uninstall_leaves_them(render: Render) -> None:
    objects = render(VALUES)
    for path in SECRETS:
        assert objects[path]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_server_takes_what_was_generated(render: Render) -> None:
    objects = render({**VALUES, "redis": {"prefix": "tidings"}})
    url = text(objects, "valkey/secret.yaml", "redis-url")
    settings = Settings.load(
        {
            "NOTIFY_JWT_SECRET": text(objects, "secret.yaml", "jwt-secret"),
            "NOTIFY_API_KEYS": text(objects, "secret.yaml", "api-keys"),
            "NOTIFY_REDIS_URL": url,
        }
    )
    assert settings.missing(embedded=False) == {}
    password = text(objects, "valkey/secret.yaml", "redis-password")
    assert url == f"redis://notify:{password}@demo-notify-valkey:6379/0"
    rules = text(objects, "valkey/secret.yaml", "users.acl")
    assert f"#{hashlib.sha256(password.encode()).hexdigest()} " in rules
    assert "~tidings:* &tidings:*" in rules
    assert "user default off" in rules
