"""Whom a request comes from, when reverse proxies stand in between."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from aiohttp import web

Network = IPv4Network | IPv6Network


class Visitor(NamedTuple):
    """Where a request comes from and what it was addressed to."""

    address: str
    port: str
    scheme: str
    host: str


class TrustedProxies:
    """Believes `X-Forwarded-For`, `-Proto` and `-Host` from the given networks, and from nobody else."""

    def __init__(self, networks: Iterable[str | Network] = ()) -> None:
        """Raises ValueError for what is not a network such as `10.0.0.0/8` or `::1`."""
        self._networks = tuple(
            network if isinstance(network, IPv4Network | IPv6Network) else ip_network(network, strict=False)
            for network in networks
        )
        self._trusts = lru_cache(maxsize=256)(self._in_networks)

    @property
    def configured(self) -> bool:
        """False when no proxy is trusted: then every client is its connection's peer."""
        return bool(self._networks)

    def trusts(self, address: str) -> bool:
        """True for the address of one of our proxies."""
        return bool(self._networks) and self._trusts(address)

    def address(self, request: web.BaseRequest) -> str:
        """The real client's IP address; empty on a unix socket."""
        if self._networks:
            return self.visitor(request).address
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def visitor(self, request: web.BaseRequest) -> Visitor:
        """The real client. Without trusted proxies that is the peer, whatever its headers say."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        address, port = (str(peer[0]), str(peer[1])) if isinstance(peer, tuple) else ("", "0")
        host = request.headers.get("Host", "")
        if not self.trusts(address):
            return Visitor(address, port, request.url.scheme, host)
        headers = request.headers
        scheme = _first(headers.get("X-Forwarded-Proto")) or request.url.scheme
        forwarded = ",".join(headers.getall("X-Forwarded-For", ()))
        # From the right: each proxy appends whom it was called by, and what stands left of the first address
        # that is not a proxy's was written by the client.
        for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
            if not _is_address(hop):
                break
            address, port = hop, "0"
            if not self.trusts(hop):
                break
        return Visitor(address, port, scheme, _first(headers.get("X-Forwarded-Host")) or host)

    def _in_networks(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if parsed.version == 6 and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


def _first(values: str | None) -> str:
    return values.split(",", 1)[0].strip() if values else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
