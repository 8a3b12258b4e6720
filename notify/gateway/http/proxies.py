"""Whom a request comes from, when reverse proxies stand in between: `origins`, applied to a request."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from aiohttp import web

from notify.gateway.http import origins
from notify.gateway.http.origins import client_address, reached_as

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
        self._proxies = origins.TrustedNetworks(
            network if isinstance(network, IPv4Network | IPv6Network) else ip_network(network, strict=False)
            for network in networks
        )

    @property
    def configured(self) -> bool:
        """False when no proxy is trusted: then every client is its connection's peer."""
        return bool(self._proxies)

    def trusts(self, address: str) -> bool:
        """True for the address of one of our proxies."""
        return address in self._proxies

    def address(self, request: web.BaseRequest) -> str:
        """The real client's IP address; empty on a unix socket."""
        if self._proxies:
            return self.visitor(request).address
        return _peer(request)[0]

    def visitor(self, request: web.BaseRequest) -> Visitor:
        """The real client. Without trusted proxies that is the peer, whatever its headers say."""
        address, port = _peer(request)
        host, scheme = request.headers.get("Host", ""), request.url.scheme
        if not self.trusts(address):
            return Visitor(address, port, scheme, host)
        client = client_address(address, _joined(request, "X-Forwarded-For"), self._proxies)
        reached, scheme = reached_as(
            address,
            host,
            scheme,
            forwarded_host=_joined(request, "X-Forwarded-Host"),
            forwarded_proto=_joined(request, "X-Forwarded-Proto"),
            trusted=self._proxies,
        )
        return Visitor(client, port if client == address else "0", scheme, reached or "")


def _peer(request: web.BaseRequest) -> tuple[str, str]:
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return (str(peer[0]), str(peer[1])) if isinstance(peer, tuple) else ("", "0")


def _joined(request: web.BaseRequest, header: str) -> str:
    return ",".join(request.headers.getall(header, ()))
