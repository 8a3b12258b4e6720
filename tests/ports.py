"""Free ports for servers under test."""

from __future__ import annotations

import random
import socket

_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on, not given before.

    Below the range from which the kernel takes ports of outgoing connections, so that none of those sits on
    it by the time the server starts.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
