"""Connections that are in no namespace yet: anybody can open them, so they have a bound of their own."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace
from ipaddress import IPv6Address, ip_address
from typing import Generic, Protocol, TypeVar

AT_ONCE = 64
"""One part in so many goes at a time: finding out who has most of them costs a look at each."""


class Addressed(Protocol):
    """A connection from somewhere."""

    @property
    def address(self) -> str:
        """The client's IP address."""


Connection = TypeVar("Connection", bound=Addressed)


class Unconnected(Generic[Connection]):
    """Keeps them in the order in which they came.

    When there are more than `most`, the oldest of the address that has most of them have to go. There is no
    bound on an address: many people sit behind one. But whoever fills the node from one is in nobody's way.
    """

    __slots__ = ("_most", "_networks")

    def __init__(self, *, most: int) -> None:
        """Raises ValueError for a bound below 1."""
        if most < 1:
            raise ValueError("max_unconnected must be at least 1")
        self._most = most
        self._networks: dict[Connection, str | None] = {}
        """None until somebody has to go: nearly all are in a namespace before that."""

    def __len__(self) -> int:
        return len(self._networks)

    def add(self, connection: Connection) -> Sequence[Connection]:
        """Keep one more. The connections that have to go for it, which are kept no more."""
        self._networks[connection] = None
        return self._crowded_out() if len(self._networks) > self._most else ()

    def discard(self, connection: Connection) -> None:
        """It is in a namespace, or gone."""
        self._networks.pop(connection, None)

    def _crowded_out(self) -> list[Connection]:
        by_network: dict[str, list[Connection]] = {}
        for connection, known in self._networks.items():
            network = known
            if network is None:
                network = self._networks[connection] = _network(connection.address)
            by_network.setdefault(network, []).append(connection)
        # (how many are left, where they come from, how many have gone): the largest first.
        heap = [(-len(connections), network, 0) for network, connections in by_network.items()]
        heapify(heap)
        gone: list[Connection] = []
        for _ in range(max(1, self._most // AT_ONCE)):
            left, network, taken = heap[0]
            gone.append(by_network[network][taken])
            heapreplace(heap, (left + 1, network, taken + 1))
        for connection in gone:
            del self._networks[connection]
        return gone


def _network(address: str) -> str:
    """What one subscriber has: an IPv4 address, or 64 bits of IPv6."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(int(parsed) >> 64)
    return address
