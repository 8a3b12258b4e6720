"""A balancer that sends every request to the next node, and sees whose session is said to be unknown."""

from __future__ import annotations

import re
from collections import Counter

from tests.chaos.world import World
from tests.support.cluster import Node
from tests.support.round_robin import RoundRobin

_ASKED = re.compile(rb"[?&]sid=([^& ]+)")
_OPENED = re.compile(rb'0\{"sid":"([^"]+)"')
MARK_LENGTH = 4


class NextNode(RoundRobin):
    """Each request goes to the next of the nodes that are ready."""

    def __init__(self, here: World) -> None:
        super().__init__(lambda: [node.port for node in here.balancer.ready])
        self.requests = 0
        self.unknown: Counter[str] = Counter()
        """Answers that a session is unknown, by what had become of it."""
        self.leaving: set[str] = set()
        """Names of the nodes that have been told to drain."""
        self._nodes = {node.port: node for node in here.nodes}
        self._owners: dict[bytes, tuple[Node, int]] = {}
        """By mark: the node whose sessions begin with it, and its process."""
        self._broken: set[bytes] = set()
        """Sessions with a request that was not answered: the node that had it went away."""

    def answered(self, head: bytes, port: int, answer: bytes) -> None:
        """Note whose session was opened, is unknown, or lost the node that was to answer."""
        self.requests += 1
        asked = _ASKED.search(head.partition(b"\r\n")[0])
        if asked is None:
            opened = _OPENED.search(answer)
            node = self._nodes[port]
            if opened is not None and node.running:
                self._owners[opened[1][:MARK_LENGTH]] = node, node.pid
        elif not answer:
            self._broken.add(asked[1])
        elif b"Session ID unknown" in answer:
            self.unknown[self._fate(asked[1])] += 1

    def _fate(self, sid: bytes) -> str:
        owner = self._owners.get(sid[:MARK_LENGTH])
        if owner is None:
            return "never opened"
        node, pid = owner
        if not node.running or node.pid != pid:
            return "owner gone"
        if node.name in self.leaving:
            return "owner drained"
        return "answering node gone" if sid in self._broken else "no reason"
