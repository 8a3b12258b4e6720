"""What the supervisor says when a node does not get up."""

from __future__ import annotations

from pathlib import Path

import pytest

from notify.cli.devserver.ports import Ports, is_free
from notify.cli.devserver.supervisor import DevNode, StartFailed, Supervisor
from tests.cli.test_commands import QUIET
from tests.support.ports import free_port


async def test_a_node_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path):
    node = DevNode(
        "node-1",
        port=free_port(),
        internal_port=free_port(),
        environ={**QUIET, "NOTIFY_JWT_SECRET": "short"},
        log=tmp_path / "node-1.log",
        say=print,
    )
    supervisor = Supervisor([node])
    try:
        with pytest.raises(
            StartFailed, match=r"(?s)node-1 exited during its start.*NOTIFY_JWT_SECRET: Must have 32"
        ):
            await supervisor.start()
    finally:
        await supervisor.end()
    assert node.pid is None
    assert not node.kill()
    assert not node.drain()


def test_ports_are_the_usual_ones_while_they_are_free_and_none_is_given_twice():
    import socket

    usual = free_port()
    assert is_free(usual)
    ports = Ports()
    assert ports.take(usual) == usual
    assert ports.take(usual) > usual
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert Ports().take(port) != port
