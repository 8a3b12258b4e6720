"""compose.yaml. No Docker engine is asked: a schema reads it, what it starts is started here as processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import notify
from notify.backplane.advertised import advertised_url
from notify.embedded.child import with_parent_death_signal
from notify.embedded.server import server_binary
from notify.settings.settings import Settings
from tests.k8s import toolbox
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(180)

FILE = toolbox.ROOT / "compose.yaml"
GIVEN = {"NOTIFY_JWT_SECRET": "s" * 32, "NOTIFY_API_KEYS": "backend:a-key-of-the-backend"}
WAIT_S = 30


def filled_in(given: dict[str, str]) -> dict[str, Any]:
    """The file as Compose reads it with these variables. Raises KeyError for one that is missing."""

    def value(found: re.Match[str]) -> str:
        name, kind, words = found["name"], found["kind"], found["words"] or ""
        if given.get(name):
            return given[name]
        if kind == ":?":
            raise KeyError(f"{name}: {words}")
        return words

    (whole,) = toolbox.ask([{"do": "read_yaml", "path": str(FILE)}])
    text = re.sub(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<words>[^}]*))?\}", value, json.dumps(whole))
    read: dict[str, Any] = json.loads(text)
    return read


def of_the_image() -> dict[str, str]:
    """The settings that the Dockerfile makes."""
    text = (toolbox.ROOT / "k8s" / "Dockerfile").read_text()
    return dict(re.findall(r"\b(NOTIFY_[A-Z_]+)=(\S+)", text))


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_it_fits_the_schema_of_compose_files() -> None:
    command = [
        str(toolbox.bin_dir() / "check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        str(FILE),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_compose_itself_reads_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    there = (
        docker
        and not subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    )
    if not there:
        pytest.skip("docker compose is not on this machine")
    command = ["docker", "compose", "--file", str(FILE), "config", "--format", "json"]
    read = subprocess.run(
        command, env={**os.environ, **GIVEN}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
    assert set(json.loads(read.stdout)["services"]) == {"notify", "valkey"}


def test_without_secrets_it_does_not_start_and_says_how_to_make_them() -> None:
    for name in GIVEN:
        others = {other: value for other, value in GIVEN.items() if other != name}
        with pytest.raises(KeyError, match=f"{name}: .*openssl rand"):
            filled_in(others)


def test_it_fits_the_image_the_chart_and_the_servers_settings() -> None:
    whole = filled_in(GIVEN)
    server, valkey = whole["services"]["notify"], whole["services"]["valkey"]
    assert server["image"] == f"notify:{notify.__version__}"
    assert (toolbox.ROOT / server["build"]["dockerfile"]).is_file()
    assert server["build"]["context"] == "."
    assert f"  image: {valkey['image']}\n" in (toolbox.CHART / "values.yaml").read_text()
    settings = Settings.load(server["environment"])
    assert settings.missing(embedded=False) == {}
    image = Settings.load({**of_the_image(), **server["environment"]})
    told = advertised_url(
        wanted=image.advertise_url,
        internal_host=image.internal_host,
        internal_port=image.internal_port,
        local_host="172.18.0.3",
    )
    assert told == "http://172.18.0.3:8081", "its address in the network that it shares with Valkey"
    assert server["ports"] == [f"8080:{settings.port}", f"127.0.0.1:8081:{settings.internal_port}"]
    down = settings.drain_delay + settings.drain_seconds + settings.shutdown_seconds
    assert seconds(server["stop_grace_period"]) >= down + 10
    assert server["ulimits"]["nofile"] > settings.max_connections
    assert valkey["volumes"] == ["valkey:/data"]
    assert "valkey" in whole["volumes"]
    assert "ports" not in valkey, "nobody reaches Valkey but notify"
    assert valkey["networks"] == ["data"]
    assert whole["networks"]["data"] == {"internal": True}
    assert "data" in server["networks"]


def started(command: list[str], environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            with_parent_death_signal(command),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def posted(port: int, server: subprocess.Popen[bytes], log: Path) -> str:
    """The id of a notification, posted as soon as the server takes it; always with the same key."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/notifications",
        json.dumps({"to": {"user": "ada"}, "title": "Hello"}).encode(),
        {
            "Authorization": f"Bearer {GIVEN['NOTIFY_API_KEYS'].partition(':')[2]}",
            "Content-Type": "application/json",
            "Idempotency-Key": "the-same",
        },
    )
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                assert response.status == 202
                answer: dict[str, str] = json.load(response)
                return answer["id"]
        except urllib.error.HTTPError as error:
            # 409: an attempt that its caller gave up is still under way.
            assert error.code in (409, 503), error.read()
        except OSError:
            pass
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_what_it_starts_works_and_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    """Both commands with their environment; only the ports, and where /data is, are this machine's."""
    services = filled_in(GIVEN)["services"]
    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    redis_port, port, internal_port = free_port(), free_port(), free_port()
    name, *arguments = shlex.split(services["valkey"]["command"])
    assert name == "valkey-server"
    valkey = [
        server_binary(),
        *arguments,
        "--port",
        str(redis_port),
        "--dir",
        str(data),
        "--bind",
        "127.0.0.1",
    ]
    environ = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        **services["notify"]["environment"],
        "NOTIFY_REDIS_URL": services["notify"]["environment"]["NOTIFY_REDIS_URL"].replace(
            "valkey:6379", f"127.0.0.1:{redis_port}"
        ),
        "NOTIFY_HOST": "127.0.0.1",
        "NOTIFY_PORT": str(port),
        "NOTIFY_INTERNAL_PORT": str(internal_port),
    }
    node = [str(Path(sys.executable).parent / "notify"), "serve"]
    running = [started(valkey, {"PATH": "/usr/bin:/bin"}, log), started(node, environ, log)]
    try:
        first = posted(internal_port, running[1], log)
        running[0].kill()
        running[0].wait()
        running[0] = started(valkey, {"PATH": "/usr/bin:/bin"}, log)
        assert posted(internal_port, running[1], log) == first, "it is still known"
        running[1].send_signal(signal.SIGTERM)
        assert running[1].wait(seconds(services["notify"]["stop_grace_period"])) == 0
    finally:
        for process in running:
            process.kill()
            process.wait()
