"""What the nodes of one cluster know of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


def node_url(host: str, port: int) -> str:
    """The address of a node's internal port; an IPv6 address stands in brackets (RFC 3986 section 3.2.2)."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, kw_only=True)
class AddressBook:
    """The living nodes and the accepted secrets, as of one moment of Redis' clock."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """Mark to address, such as `http://10.0.0.7:8081`."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What nodes prove themselves with, the newest first."""
    taken: bool = False
    """True when the mark that was to be entered is that of another living node. Nothing was entered then."""
