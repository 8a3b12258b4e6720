"""Free ports for servers under test."""

from __future__ import annotations

import os
import random
import socket

_given: set[int] = set()
_FIRST, _LAST = 20_000, 32_000
_SHARES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
"""Tests that run side by side in several processes draw from different ports."""


def free_port() -> int:
    """A loopback port that nobody listens on, not given before.

    Below the range from which the kernel takes ports of outgoing connections, so that none of those sits on
    it by the time the server starts.
    """
    while True:
        port = random.randrange(_FIRST + _SHARE, _LAST, _SHARES)
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
