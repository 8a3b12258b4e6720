"""Which pages may connect, and where a client really is when proxies stand between.

Pure: nothing here reads a request, see `cors` and `proxies` for that. A browser names the page's origin in
the `Origin` header (RFC 6454, Fetch standard); other programs send none, or whatever they like. What a
proxy says of a request (`X-Forwarded-*`) is believed only when it comes from a network that is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import idna

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MOST_HOPS: Final = 32
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


class Origin(NamedTuple):
    """Scheme, host and port, each in its one normal form."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Origin:
        """The origin that `text` is: lower case, the port filled in, a final slash ignored.

        Raises ValueError when it is not `scheme://host[:port]`. Apps have schemes of their own
        (`capacitor://localhost`), without a usual port: that is 0 then.
        """
        parts = urlsplit(text)
        port = parts.port  # raises ValueError when it is not one
        extra = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username is not None
        if not parts.scheme or not parts.hostname or extra or text != text.strip():
            raise ValueError("an origin looks like https://app.example.com or http://localhost:5173")
        host = _host(parts.hostname.rstrip("."), web=parts.scheme in _DEFAULT_PORTS)
        return cls(parts.scheme, host, _DEFAULT_PORTS.get(parts.scheme, 0) if port is None else port)


class OriginPattern(NamedTuple):
    """`https://*.example.com`: every subdomain, however deep, and not `example.com` itself."""

    scheme: str
    ending: str
    port: int

    @classmethod
    def parse(cls, text: str) -> OriginPattern:
        """Raises ValueError for anything else: a star may only stand for the beginning of a host name."""
        scheme, star, rest = text.partition("://*.")
        if not star:
            raise ValueError("a pattern looks like https://*.example.com")
        parent = Origin.parse(f"{scheme}://{rest}")
        if parent.scheme not in _DEFAULT_PORTS or _address(parent.host) is not None:
            raise ValueError("a pattern names web pages by their host: https://*.example.com")
        return cls(parent.scheme, "." + parent.host, parent.port)

    def matches(self, origin: Origin) -> bool:
        """True for the origin of a page on a subdomain."""
        return origin.scheme == self.scheme and origin.port == self.port and origin.host.endswith(self.ending)


class LoopbackPattern(NamedTuple):
    """`http://localhost:*`: every port of this machine, for pages that are being developed."""

    scheme: str
    host: str

    @classmethod
    def parse(cls, text: str) -> LoopbackPattern:
        """Raises ValueError unless the host is loopback: elsewhere another port is another owner."""
        page = Origin.parse(text.removesuffix(":*"))
        address = _address(page.host)
        if page.host != "localhost" and not (address and address.is_loopback):
            raise ValueError("any port (:*) is of this machine only: http://localhost:*")
        return cls(page.scheme, page.host)

    def matches(self, origin: Origin) -> bool:
        """True for the origin of a page on any port of that name of this machine."""
        return (origin.scheme, origin.host) == self


class OriginPolicy:
    """Which origins may connect: those listed, any (`*`), or, when nothing is listed, the page's own server.

    An entry is an origin, or a pattern for subdomains (`https://*.example.com`) or for the ports of this
    machine (`http://localhost:*`). `null` (sandboxed frames,
    files, some redirects) is allowed when it is listed, or with `*`. Raises ValueError when an entry is
    neither, and so could never match.
    """

    __slots__ = ("_any", "_listed", "_null", "_patterns")

    def __init__(self, listed: Iterable[str] = ()) -> None:
        entries = set(listed)
        self._any = "*" in entries
        self._null = "null" in entries
        named = entries - {"*", "null"}
        self._listed = frozenset(Origin.parse(entry) for entry in named if "*" not in entry)
        self._patterns = tuple(
            (LoopbackPattern if entry.endswith(":*") else OriginPattern).parse(entry)
            for entry in sorted(named)
            if "*" in entry
        )

    def allowed(self, origin: str | None, host: str | None, scheme: str) -> bool:
        """True when a page of `origin` may connect to the server that it reached as `host` over `scheme`.

        `host` is the `Host` header (or `X-Forwarded-Host`, see `reached_as`). Without an `Origin` header it
        was not a page of another server that asked: programs and same-origin GETs send none. What lets a
        client in is its token, which no browser attaches by itself; origins are the second line.
        """
        if self._any or origin is None:
            return True
        if origin == "null":
            return self._null
        try:
            page = Origin.parse(origin)
            if self._listed or self._patterns or self._null:
                return page in self._listed or any(pattern.matches(page) for pattern in self._patterns)
            server = Origin.parse(f"{scheme}://{host or ''}")
        except ValueError:
            return False
        if page == server:
            return True
        # TLS often ends before us, at a proxy that keeps the Host but is not in NOTIFY_TRUSTED_PROXIES: the
        # page is https, we see http. Believing that costs nothing: it is the same host, on the safer scheme.
        return (
            (page.scheme, server.scheme) == ("https", "http")
            and page.host == server.host
            and (page.port == server.port or (page.port, server.port) == (443, 80))
        )


class TrustedNetworks:
    """The networks whose forwarding headers are believed. None by default."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks: Sequence[Network] = tuple(networks)

    def __contains__(self, address: object) -> bool:
        found = _address(address) if isinstance(address, str) else None
        return found is not None and self.trusts(found)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, address: Address) -> bool:
        """True when the address is in one of the networks."""
        return any(address.version == network.version and address in network for network in self._networks)


def client_address(peer: str, forwarded_for: str | None, trusted: TrustedNetworks) -> str:
    """The address of the client: the right-most hop that is not a trusted proxy.

    `peer` is the other end of the connection, `forwarded_for` the `X-Forwarded-For` headers joined with
    commas. Each proxy appends whom it got the request from, so what stands left of the first hop that is not
    trusted may have been made up by it. When all hops are trusted it is the left-most; a hop that is not an
    address ends the walk. IPv4 in IPv6 comes out as IPv4.
    """
    here = _address(peer)
    if here is None:
        return peer
    if forwarded_for and trusted:
        for hop in reversed(forwarded_for.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            before = _address(hop)
            if before is None or not trusted.trusts(here):
                break
            here = before
    return str(here)


def reached_as(
    peer: str,
    host: str | None,
    scheme: str,
    *,
    forwarded_host: str | None,
    forwarded_proto: str | None,
    trusted: TrustedNetworks,
) -> tuple[str | None, str]:
    """(host, scheme) under which the client reached this service, for `OriginPolicy.allowed`.

    `X-Forwarded-Host` and `X-Forwarded-Proto` count only from a trusted peer. Of several values the last one
    is taken, the one that this very proxy wrote.
    """
    if peer not in trusted:
        return host, scheme
    proto = _last(forwarded_proto).lower()
    return _last(forwarded_host) or host, {"wss": "https", "ws": "http"}.get(proto, proto) or scheme


def _host(name: str, *, web: bool) -> str:
    """A host as browsers write it in an Origin header (WHATWG URL standard)."""
    address = _address(name)
    if address is not None:
        return address.compressed
    if not name.isascii():
        name = idna.encode(name, uts46=True).decode("ascii")  # UTS 46, non-transitional, as browsers do
    if web and (_HOST.fullmatch(name) is None or name.rpartition(".")[2].isdigit()):
        raise ValueError("this is not a host name")
    if "*" in name:
        raise ValueError("this is not a host")
    return name


def _last(header: str | None) -> str:
    return (header or "").rpartition(",")[2].strip()


def _address(text: str) -> Address | None:
    """An address as proxies write it: `10.0.0.1`, `10.0.0.1:4711`, `2001:db8::1`, `"[2001:db8::1]:4711"`."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
