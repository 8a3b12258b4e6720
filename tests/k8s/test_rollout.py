"""The chart's own command line, environment and times, behind the repository's own nginx, rolled under load.

One pod after the other gets what the kubelet would do to it: the preStop hook, SIGTERM, and the grace
period; then its successor starts. Clients are stock ones on both transports, each request goes to the next
pod, and the backend posts as the README says.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis

from tests.k8s.nginx import AFFINITY, ROUND_ROBIN, Nginx
from tests.k8s.pods import Host, Pod, ValkeyPod, run_test_pod
from tests.support.clients.javascript import JavaScript, JsClient
from tests.support.ports import free_port
from tests.support.tokens import mint

pytestmark = pytest.mark.timeout(180)

VALUES = {
    "drain": {"preStopSeconds": 1, "delaySeconds": 1, "seconds": 3, "shutdownSeconds": 2, "marginSeconds": 5},
    "settings": {"TRUSTED_PROXIES": "127.0.0.1"},
    "log": {"level": "info"},
}
USERS = [f"user-{number}" for number in range(6)]
POSTS_PER_S = 60


@dataclass
class Installation:
    objects: dict[str, Any]
    host: Host
    pods: list[Pod]
    nginx: Nginx
    secret: str
    key: str

    async def ready(self, pod: Pod) -> None:
        """Wait as the kubelet does: until the readiness probe answers 200."""
        deadline = time.monotonic() + 30
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(pod.probe("readiness")) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                assert pod.process is not None
                assert pod.process.poll() is None, pod.log
                assert time.monotonic() < deadline, pod.log
                await asyncio.sleep(0.05)

    async def passed_on(self) -> float:
        """How many requests the pods have passed on to each other and got answered."""
        found = 0.0
        async with aiohttp.ClientSession() as session:
            for pod in self.pods:
                async with session.get(f"http://127.0.0.1:{pod.ports[1]}/metrics") as response:
                    for line in (await response.text()).splitlines():
                        if line.startswith("notify_passed_on_total") and 'outcome="answered"' in line:
                            found += float(line.rpartition(" ")[2])
        return found

    async def replace(self, pod: Pod) -> float:
        """End a pod as the kubelet does, and start its successor; how long it took to end after SIGTERM."""
        assert pod.process is not None
        await asyncio.sleep(pod.pre_stop_s())  # the hook itself: `sleep`
        began = time.monotonic()
        pod.process.send_signal(signal.SIGTERM)
        while pod.process.poll() is None:
            assert time.monotonic() - began < pod.grace_s - pod.pre_stop_s(), (
                "the kubelet would have killed it"
            )
            await asyncio.sleep(0.05)
        took = time.monotonic() - began
        assert pod.process.returncode == 0, pod.log[-3000:]
        pod.start()
        await self.ready(pod)
        return took


@pytest.fixture
async def installation(
    request: pytest.FixtureRequest, render: Callable[..., dict[str, Any]], tmp_path: Path
) -> AsyncIterator[Installation]:
    objects = render(VALUES)
    valkey_port = free_port()
    host = Host(tmp_path, {"demo-notify-valkey:6379": f"127.0.0.1:{valkey_port}"})
    valkey = ValkeyPod(objects, host, port=valkey_port)
    valkey.start()
    ports = [(free_port(), free_port()) for _ in range(3)]
    pods = [Pod(objects, f"demo-notify-{n}", host, ports=pair) for n, pair in enumerate(ports)]
    try:
        for pod in pods:
            pod.start()
        secrets = Path(pods[0].environ["NOTIFY_JWT_SECRET_FILE"]).parent
        spread = getattr(request, "param", AFFINITY)
        with Nginx(tmp_path / "nginx", ports, spread=spread) as nginx:
            found = Installation(
                objects=objects,
                host=host,
                pods=pods,
                nginx=nginx,
                secret=(secrets / "jwt-secret").read_text(),
                key=(secrets / "api-keys").read_text(),
            )
            await asyncio.gather(*map(found.ready, pods))
            yield found
    finally:
        for pod in pods:
            pod.kill()
        valkey.stop()


class Backend:
    """Posts without a pause through nginx, each with its Idempotency-Key, and keeps the book."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.accepted: dict[str, list[int]] = defaultdict(list)
        self.answers: list[tuple[int, str]] = []
        self.over = asyncio.Event()

    async def run(self) -> None:
        url = self.installation.nginx.internal_url + "/v1/notifications"
        headers = {"Authorization": f"Bearer {self.installation.key}"}
        number = 0
        async with aiohttp.ClientSession(headers=headers) as session:
            while not self.over.is_set():
                number += 1
                user = USERS[number % len(USERS)]
                body = {"to": {"user": user}, "title": "load", "data": {"number": number}}
                async with session.post(
                    url, json=body, headers={"Idempotency-Key": f"n{number}"}
                ) as response:
                    if response.status == 202:
                        self.accepted[user].append(number)
                    else:
                        self.answers.append((response.status, await response.text()))
                await asyncio.sleep(1 / POSTS_PER_S)


def numbers(client: JsClient) -> list[int]:
    return [args[0]["data"]["number"] for event, args in client.events if event == "notification"]


async def arrived(client: JsClient, wanted: list[int]) -> None:
    deadline = time.monotonic() + 30
    while len(numbers(client)) < len(wanted) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert numbers(client) == wanted, [line for line in client.log if line["type"] != "event"]


@pytest.mark.parametrize("installation", [ROUND_ROBIN], indirect=True, ids=["round robin"])
async def test_a_rolled_deployment_loses_nothing_and_answers_every_post(installation: Installation) -> None:
    async with JavaScript() as javascript:
        clients: list[tuple[str, JsClient]] = []
        for place, user in enumerate(USERS * 2):
            client = await javascript.connect(
                installation.nginx.url,
                transports=["polling"] if place % 3 == 0 else ["websocket"],
                auth={"token": mint(user, secret=installation.secret)},
                reconnectionDelay=100,
                reconnectionDelayMax=500,
            )
            clients.append((user, client))
        for _, client in clients:
            await client.wait("connect")
        backend = Backend(installation)
        load = asyncio.create_task(backend.run())
        try:
            deadline = time.monotonic() + 30
            while await installation.passed_on() < len(USERS):
                assert time.monotonic() < deadline, "pods do not reach each other"
                await asyncio.sleep(0.1)
            for pod in installation.pods:
                took = await installation.replace(pod)
                drain = VALUES["drain"]
                assert isinstance(drain, dict)
                assert took < drain["delaySeconds"] + drain["seconds"] + drain["shutdownSeconds"] + 2
        finally:
            backend.over.set()
            await load
        assert backend.answers == [], "every POST is answered 202"
        assert sum(map(len, backend.accepted.values())) > 300
        for user, client in clients:
            await arrived(client, backend.accepted[user])
        again = [line for _, client in clients for line in client.said("connect")[1:]]
        assert again, "the clients were moved"
        assert all(line["recovered"] for line in again)
    tell_nothing(installation)


def tell_nothing(installation: Installation) -> None:
    """One line of JSON an event, in none of them a key, a token or what a notification says."""
    for pod in installation.pods:
        lines = pod.log.splitlines()
        assert {"ready", "draining", "drained", "stopped"} <= {json.loads(line)["event"] for line in lines}
        for secret in (installation.secret, installation.key, "eyJ", '"load"'):
            assert secret not in pod.log


async def test_the_helm_test_pod_posts_and_receives(installation: Installation) -> None:
    addresses = {
        "http://demo-notify-internal:8081": installation.nginx.internal_url,
        "http://demo-notify:80": installation.nginx.url,
    }
    finished = await asyncio.to_thread(
        run_test_pod, installation.objects, installation.host, replaced=addresses
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (line,) = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    assert line["args"][0]["title"] == "helm test"


async def test_the_helm_test_pod_fails_where_nothing_arrives(installation: Installation) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    addresses = {"http://demo-notify-internal:8081": nowhere, "http://demo-notify:80": nowhere}
    finished = await asyncio.to_thread(
        run_test_pod, installation.objects, installation.host, replaced=addresses
    )
    assert finished.returncode != 0


async def test_the_valkey_pods_probe_may_ping_and_nothing_else(installation: Installation) -> None:
    spec = installation.objects["valkey/statefulset.yaml"]["spec"]["template"]["spec"]["containers"][0]
    command = spec["readinessProbe"]["exec"]["command"][-1]
    assert "--user probe --pass none" in command
    port = int(installation.host.replaced["demo-notify-valkey:6379"].rpartition(":")[2])
    with redis.Redis(port=port, username="probe", password="none", protocol=2) as probe:
        assert probe.ping()
        for words in (("GET", "notify:clock"), ("INFO",), ("PUBLISH", "notify:x", "y")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                probe.execute_command(*words)
    with redis.Redis(port=port, protocol=2) as nobody, pytest.raises(redis.exceptions.AuthenticationError):
        nobody.ping()
