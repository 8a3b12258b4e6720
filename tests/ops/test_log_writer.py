"""Whoever logs neither waits nor fails, whatever becomes of the lines."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from notify.ops.log_writer import LogStats, LogWriter
from tests.support.waiting import wait_until

LINE = "x" * 1000


def test_lines_are_written_in_order(tmp_path: Path):
    stats = LogStats()
    with (tmp_path / "log").open("wb") as file:
        writer = LogWriter(file.fileno(), stats=stats)
        for number in range(1000):
            writer.put(f"line {number}")
        writer.close()
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(1000)]
    assert (stats.lines, stats.dropped.total()) == (1000, 0)


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time():
    stats = LogStats()
    reading, writing = os.pipe()
    try:
        writer = LogWriter(writing, stats=stats, max_waiting_bytes=100_000)

        def put() -> None:
            for _ in range(1000):
                writer.put(LINE)

        putting = threading.Thread(target=put, daemon=True)
        putting.start()
        putting.join(20)
        assert not putting.is_alive()
        assert stats.dropped["full"] > 500
        dropped = stats.dropped["full"]
        # Somebody reads again: what waits comes, and the next line, too.
        threading.Thread(target=_read_all, args=(reading,), daemon=True).start()
        wait_until(lambda: stats.lines == 1000 - dropped)
        writer.put("again")
        wait_until(lambda: stats.lines == 1001 - dropped)
    finally:
        os.close(writing)


def _read_all(fd: int) -> None:
    while os.read(fd, 65536):
        pass
    os.close(fd)


def test_closing_does_not_wait_for_a_reader():
    reading, writing = os.pipe()
    writer = LogWriter(writing, stats=LogStats())
    for _ in range(100):
        writer.put(LINE)
    closing = threading.Thread(target=writer.close, kwargs={"within_s": 0.05}, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_counted():
    stats = LogStats()
    with open("/dev/full", "wb", buffering=0) as file:
        writer = LogWriter(file.fileno(), stats=stats)
        writer.put(LINE)
        writer.close()
    assert (stats.lines, stats.dropped["failed"]) == (0, 1)


def test_a_closed_file_is_counted():
    stats = LogStats()
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(writing, stats=stats)
    writer.put(LINE)
    writer.close()
    os.close(writing)
    assert (stats.lines, stats.dropped["failed"]) == (0, 1)


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stats = LogStats()
    real_write, calls = os.write, []

    def write(fd: int, data: memoryview) -> int:
        calls.append(fd)
        if len(calls) == 1:
            return real_write(fd, data[:4])
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real_write(fd, data)

    with (tmp_path / "log").open("wb") as file:
        monkeypatch.setattr("notify.ops.log_writer.os.write", write)
        writer = LogWriter(file.fileno(), stats=stats)
        writer.put("torn off")
        wait_until(lambda: stats.dropped["failed"] == 1)
        writer.put("whole")
        writer.close()
    assert (tmp_path / "log").read_text() == "torn\nwhole\n"
