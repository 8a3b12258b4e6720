"""Readers for the settings that are more than a number or a word.

Each takes the text of a variable and returns the value, or raises ValidationError with a sentence that
says what to write instead. No sentence repeats a secret.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from marshmallow import ValidationError

from notify.domain.addresses import node_url
from notify.domain.names import event_name_fault
from notify.gateway.http.origins import OriginPolicy
from notify.redis.connector import BadRedisUrl, Connector

Network = IPv4Network | IPv6Network

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel", "valkey+sentinel")
REDIS_SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES)
SHORTEST_API_KEY = 16
SHORTEST_JWT_SECRET_BYTES = 32
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_ADVERTISED = re.compile(
    r"http://(?:(?P<name>[A-Za-z0-9_.-]{1,253})|\[(?P<bracketed>[0-9A-Fa-f:.]+)\]):(?P<port>[0-9]{1,5})/?"
)
_NAMESPACE = re.compile(r"/[^,?\s]{0,255}")


class Secret:
    """A text that does not show itself: not in repr, str, f-strings, logs or tracebacks."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it where it is used, and keep what it returns nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def words(text: str) -> tuple[str, ...]:
    """What stands between commas, each once."""
    return tuple(dict.fromkeys(part for part in map(str.strip, text.split(",")) if part))


def redis_url(text: str) -> str:
    """The URL, as redis-py understands it (and `redis+sentinel://`)."""
    parts = urlsplit(text) if text.startswith(SENTINEL_SCHEMES) else _split(text)  # those have several ports
    if parts.scheme not in REDIS_SCHEMES:
        raise ValidationError(
            f"Must begin with one of {', '.join(f'{scheme}://' for scheme in REDIS_SCHEMES)}."
        )
    if parts.scheme == "unix":
        if not parts.path:
            raise ValidationError("Name the socket: unix:///run/redis/redis.sock.")
    elif not parts.hostname:
        raise ValidationError("Name the host: redis://localhost:6379/0.")
    if parts.scheme in SENTINEL_SCHEMES and not parts.path.strip("/"):
        raise ValidationError("Name the service: redis+sentinel://host:26379,host2:26379/mymaster.")
    if parse_qs(parts.query).get("protocol", ["2"]) != ["2"]:
        raise ValidationError("Leave `protocol` out: notify always speaks RESP2.")
    try:
        Connector(text)
    except BadRedisUrl as error:
        raise ValidationError(f"{error}.") from error
    return text


def masked(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc and "password=" not in parts.query:
        return url
    userinfo, at, host = parts.netloc.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    query = re.sub(r"(password=)[^&]*", r"\1***", parts.query)
    return urlunsplit(parts._replace(netloc=f"{user}{colon}{'***' if colon else ''}{at}{host}", query=query))


def jwt_secret(text: str) -> Secret:
    """At least as long as the hash it keys (RFC 7518 section 3.2)."""
    text = text.strip("\r\n")  # an editor put it there, or `echo`; whoever signs has it without
    if len(text.encode()) < SHORTEST_JWT_SECRET_BYTES:
        raise ValidationError(
            f"Must have {SHORTEST_JWT_SECRET_BYTES} bytes or more; `openssl rand -hex 32` makes a good one."
        )
    return Secret(text)


def public_key(text: str) -> str:
    r"""A PEM public key, RSA or P-256; `\n` may stand for the line breaks, as in env files."""
    pem = text.replace("\\n", "\n").strip() + "\n"
    if "PRIVATE KEY" in pem:
        raise ValidationError(
            "This is a private key: put the public key here, and keep the private one where tokens are "
            "signed."
        )
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise ValidationError("Must be a public key in PEM form (-----BEGIN PUBLIC KEY-----).") from error
    if isinstance(key, RSAPublicKey):
        if key.key_size < 2048:
            raise ValidationError("An RSA key must have 2048 bits or more.")
    elif not (isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1"):
        raise ValidationError("Must be an RSA key (RS256) or a P-256 key (ES256).")
    return pem


def jwks_url(text: str) -> str:
    """https, or http inside a cluster or on this machine."""
    parts = _split(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValidationError("Must be an http:// or https:// URL.")
    return text


def advertise_url(text: str) -> str:
    """http, a host and a port. Any address may stand in brackets, so that one template does for all."""
    found = _ADVERTISED.fullmatch(text)
    address = None
    if found and found["bracketed"]:
        try:
            address = ip_address(found["bracketed"])
        except ValueError:
            found = None
    if not found or not 1 <= int(found["port"]) <= 65535:
        raise ValidationError(
            "Must be http://<host>:<port> and no more, such as http://10.0.0.7:8081 or http://[fd00::7]:8081."
        )
    return node_url(found["name"] if address is None else str(address), int(found["port"]))


def api_keys(text: str) -> tuple[Secret, ...]:
    """`<key>` or `<name>:<key>`, separated by commas or line breaks (a file may have one on each line)."""
    found = words(text.replace("\n", ","))
    for place, entry in enumerate(found, 1):
        key = entry.rpartition(":")[2]
        if len(key) < SHORTEST_API_KEY or not _VISIBLE.fullmatch(entry):
            raise ValidationError(
                f"Key number {place} must have {SHORTEST_API_KEY} or more ASCII characters and no spaces; "
                "`openssl rand -hex 24` makes a good one."
            )
    return tuple(map(Secret, found))


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers send them: scheme, host, port when it is not the usual one; or `*`."""
    found = words(text)
    for origin in found:
        if origin in ("*", "null"):  # `null` is what pages without an origin send: files, sandboxed frames
            continue
        parts = _split(origin.removesuffix(":*"))
        if parts.scheme and parts.hostname and (parts.path or parts.query or parts.fragment):
            raise ValidationError(
                f"{origin} is more than an origin: remove everything after the host and port."
            )
        try:
            OriginPolicy([origin])
        except ValueError as error:
            raise ValidationError(
                f"{origin} is not an origin, and no page could match it: write https://app.example.com, or "
                "https://*.example.com for all subdomains, http://localhost:* for all ports of this machine."
            ) from error
    if "*" in found and len(found) > 1:
        raise ValidationError("* already allows every origin: set it alone.")
    return tuple(origin.lower() for origin in found)


def namespaces(text: str) -> tuple[str, ...]:
    """Namespaces of Socket.IO; `/` is always among them."""
    found = words(text)
    for namespace in found:
        if not _NAMESPACE.fullmatch(namespace):
            raise ValidationError(
                f"{namespace} is not a namespace: it must begin with / and contain no comma, ? or space."
            )
        if namespace == "/users" or namespace.startswith("/users/"):
            raise ValidationError("/users/<id> are the users' own namespaces, which always exist.")
    return tuple(dict.fromkeys(("/", *found)))


def event_names(text: str) -> tuple[str, ...]:
    """Names of events; reserved ones are refused."""
    found = words(text)
    for event in found:
        fault = event_name_fault(event)
        if fault is not None:
            raise ValidationError(f"{event} {fault}.")
    return found


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks: 10.0.0.0/8, 2001:db8::1."""
    found: list[Any] = []
    for word in words(text):
        try:
            found.append(ip_network(word, strict=False))
        except ValueError as error:
            raise ValidationError(f"{word} is not an IP address or network (10.0.0.0/8).") from error
    return tuple(found)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is no number
    except ValueError as error:
        raise ValidationError("This cannot be read as a URL.") from error
    return parts
