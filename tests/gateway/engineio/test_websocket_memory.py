"""What an idle connection weighs, all in all."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.gateway.client_frames import handshake
from tests.gateway.loops import LOOPS

WARM, MANY = 100, 700
"""Together below the 1,024 descriptors that a process may have by default."""


@pytest.mark.parametrize("loop_name", LOOPS)
def test_an_idle_connection_weighs_little(loop_name: str) -> None:
    command = [sys.executable, "-m", "tests.gateway.idle_server", loop_name]
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())

        def connect(count: int) -> None:
            for _ in range(count):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.settimeout(10)
                client.sendall(handshake())
                assert client.recv(4096).startswith(b"HTTP/1.1 101 ")

        def weigh() -> tuple[int, int]:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write("\n")
            server.stdin.flush()
            count, resident, tasks = map(int, server.stdout.readline().split())
            assert tasks == 1, "only the server's own"
            return count, resident

        connect(WARM)
        count, before = weigh()
        assert count == WARM
        connect(MANY)
        count, after = weigh()
        assert count == WARM + MANY
        each = (after - before) / MANY
        print(f"{each:.0f} bytes resident per idle connection on {loop_name}")
        server.stdin.close()
        assert server.wait(10) == 0
    assert each < 6_000
