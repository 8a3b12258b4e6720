"""The systemd units: systemd itself reads them, and their times follow from the drain's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from notify.settings.settings import Settings
from tests.k8s import toolbox

NGINX = toolbox.ROOT / "k8s" / "nginx"
UNIT = (NGINX / "notify@.service").read_text()


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def environ(*names: str) -> dict[str, str]:
    return {
        name: value
        for each in names
        for name, value in re.findall(r"^(NOTIFY_\w+)=(.*)$", (NGINX / each).read_text(), re.MULTILINE)
    }


def test_a_node_has_the_time_that_its_drain_takes() -> None:
    settings = environ("notify.env")
    down = sum(
        float(settings[f"NOTIFY_{name}"]) for name in ("DRAIN_DELAY", "DRAIN_SECONDS", "SHUTDOWN_SECONDS")
    )
    assert values("TimeoutStopSec") == [f"{down + 10:g}"]
    assert values("KillSignal") == ["SIGTERM"]


def test_the_environment_files_are_settings() -> None:
    for path in NGINX.glob("notify-*.env"):
        settings = Settings.load({**environ("notify.env", path.name)})
        assert settings.internal_port == settings.port + 1
        assert settings.trusted_proxies, "nginx stands in front"


def test_secrets_are_credentials_and_not_in_the_environment() -> None:
    assert len(values("LoadCredential")) == 3
    for name in ("NOTIFY_JWT_SECRET", "NOTIFY_API_KEYS", "NOTIFY_REDIS_URL"):
        assert f"{name}_FILE=%d/" in UNIT
        assert f"{name}=" not in UNIT


def test_systemd_reads_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    systemd_analyze = shutil.which("systemd-analyze")
    if systemd_analyze is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    unit = tmp_path / "notify@8080.service"
    # Only the program is not here.
    unit.write_text(UNIT.replace("/opt/notify/bin/notify", "/bin/true").replace("/usr/bin/curl", "/bin/true"))
    (tmp_path / "notify.target").write_text((NGINX / "notify.target").read_text())
    verified = subprocess.run(
        [systemd_analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [systemd_analyze, "security", "--offline=yes", "--no-pager", "--threshold=15", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-2000:]


WITHOUT_EXECUTABLE_DATA = """
import asyncio, ctypes, sys
refused = ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
if refused:
    sys.exit(75)
import hiredis, jwt, orjson, uvloop
from cryptography.hazmat.primitives.asymmetric import ec
import notify.process
key = ec.generate_private_key(ec.SECP256R1())
token = jwt.encode({"sub": "ann"}, key, "ES256")
assert jwt.decode(token, key.public_key(), ["ES256"])["sub"] == "ann"
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(asyncio.sleep(0))
"""


def test_the_server_needs_no_memory_that_is_written_and_run() -> None:
    """MemoryDenyWriteExecute=yes, by the kernel's own switch, with the libraries that are machine code."""
    assert values("MemoryDenyWriteExecute") == ["yes"]
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXECUTABLE_DATA], capture_output=True, text=True, check=False
    )
    if finished.returncode == 75:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert finished.returncode == 0, finished.stderr
