"""The address under which the other nodes reach this one."""

from __future__ import annotations

from ipaddress import ip_address

from notify.domain.addresses import node_url

LOOPBACK = "127.0.0.1"


def advertised_url(
    *, wanted: str | None, internal_host: str, internal_port: int, local_host: str | None
) -> str:
    """The `wanted` one (NOTIFY_ADVERTISE_URL), or that of the internal port.

    A port that listens on every address is reached under `local_host`, the local end of the connection to
    Redis: None when that is a unix socket, and then all nodes are on this machine.
    """
    if wanted is not None:
        return wanted
    host = (local_host or LOOPBACK) if _is_wildcard(internal_host) else internal_host
    return node_url(host, internal_port)


def is_loopback(host: str) -> bool:
    """True for an address or name that means another machine on each machine."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return host == "" or ip_address(host).is_unspecified
    except ValueError:
        return False
