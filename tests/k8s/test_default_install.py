"""`helm install` with no values at all: what it renders is run, and `helm test` is content.

The pods are processes of this machine, as in test_rollout; here nothing stands in front of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.pods import Host, Pod, ValkeyPod, run_test_pod
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(180)

Render = Callable[..., dict[str, Any]]


@contextmanager
def installed(objects: dict[str, Any], directory: Path) -> Iterator[tuple[Host, dict[str, str]]]:
    """One node and the Valkey of these objects; the host, and where the Services' addresses lead here."""
    port = free_port()
    host = Host(directory, {"demo-notify-valkey:6379": f"127.0.0.1:{port}"})
    valkey = ValkeyPod(objects, host, port=port)
    ports = free_port(), free_port()
    pod = Pod(objects, "demo-notify-0", host, ports=ports)
    valkey.start()
    try:
        pod.start()
        until_ready(pod)
        yield (
            host,
            {
                "http://demo-notify-internal:8081": f"http://127.0.0.1:{ports[1]}",
                "http://demo-notify:80": f"http://127.0.0.1:{ports[0]}",
            },
        )
    finally:
        pod.kill()
        valkey.stop()


def until_ready(pod: Pod) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(pod.probe("readiness"), timeout=2):
                return
        except (urllib.error.URLError, OSError):
            assert pod.process is not None
            assert pod.process.poll() is None, pod.log
            assert time.monotonic() < deadline, pod.log
            time.sleep(0.05)


def secret_with(text: str) -> dict[str, Any]:
    """A Secret of one's own with API keys, as `kubectl create secret generic` makes it."""
    return {
        "kind": "Secret",
        "metadata": {"name": "mine", "namespace": "web"},
        "data": {"api-keys": base64.b64encode(text.encode()).decode()},
    }


async def test_it_works_at_once_and_helm_test_says_so(render: Render, tmp_path: Path) -> None:
    objects = render({})
    with installed(objects, tmp_path) as (host, addresses):
        finished = await asyncio.to_thread(run_test_pod, objects, host, replaced=addresses)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (line,) = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    assert line["args"][0]["title"] == "helm test"


@pytest.mark.parametrize(
    "keys",
    [
        "backend:a-key-of-the-backend",
        "backend:a-key-of-the-backend, cron:another-key-of-ours\n",
        "\n  backend:a-key-of-the-backend\r\ncron:another-key-of-ours\n",
        "a-key-without-a-name\n",
    ],
    ids=["named", "commas", "lines", "plain"],
)
async def test_helm_test_understands_keys_with_names(render: Render, tmp_path: Path, keys: str) -> None:
    objects = render({"auth": {"apiKeys": {"existingSecret": {"name": "mine"}}}})
    objects["mine"] = secret_with(keys)
    with installed(objects, tmp_path) as (host, addresses):
        finished = await asyncio.to_thread(run_test_pod, objects, host, replaced=addresses)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "a-key" not in finished.stdout + finished.stderr
