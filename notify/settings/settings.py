"""What an operator may set: environment variables that begin with NOTIFY_, read once at the start.

A wrong value must not come to light at three in the morning: each is checked here, all wrong ones are named
at once, and an unknown name (usually a typing error) fails the start as a wrong value does.
`.env` files are not read: whoever wants one has a shell, systemd or Compose read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import environs
from marshmallow.validate import OneOf, Range, Regexp

from notify.gateway.auth import signing_keys
from notify.settings.environment import CLIENT_SIDE, PREFIX, Environment, unknown, with_files
from notify.settings.values import (
    Network,
    Secret,
    advertise_url,
    api_keys,
    event_names,
    jwks_url,
    jwt_secret,
    masked,
    namespaces,
    networks,
    origins,
    public_key,
    redis_url,
    words,
)

ALGORITHMS = ("HS256", "RS256", "ES256")


class SettingsError(ValueError):
    """The environment cannot be used. `problems` has the sentences under the name of each variable."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        self.problems = dict(problems)
        lines = [f"{name}: {sentence}" for name, found in self.problems.items() for sentence in found]
        super().__init__("\n".join(lines))


class Line(NamedTuple):
    """One setting as `notify settings` shows it: everything as text, secrets never."""

    name: str
    value: str
    default: str
    changed: bool
    meaning: str
    unit: str = ""
    """What a number counts: `seconds` or `bytes`."""


def setting(
    meaning: str,
    default: Any,
    read: str = "str",
    *,
    check: Callable[[Any], Any] | None = None,
    parse: Callable[[str], Any] | None = None,
    secret: bool = False,
    show: Callable[[Any], str] | None = None,
) -> Any:
    """One setting. `read` is the method of `environs.Env` that reads it; `parse` a function of our own."""
    metadata = {
        "meaning": meaning,
        "read": read,
        "check": check,
        "parse": parse,
        "secret": secret,
        "show": show,
    }
    return field(default=default, repr=not secret, metadata=metadata)


class _Measure(Range):
    """A range of numbers that have a unit."""

    def __init__(self, unit: str, **bounds: Any) -> None:
        super().__init__(**bounds)
        self.unit = unit


def _seconds(at_least: float = 0.0, *, positive: bool = True, at_most: float = 10 * 365 * 86400) -> Range:
    return _Measure("seconds", min=at_least, min_inclusive=not positive, max=at_most)


def _bytes(at_least: int, at_most: int | None = None) -> Range:
    return _Measure("bytes", min=at_least, max=at_most)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, each with its default. Durations are seconds."""

    redis_url: str | None = setting(
        "Where Redis (7.0 or newer) or Valkey is: redis://, rediss://, unix:// or redis+sentinel://. "
        "Needed by `notify serve`, unless it runs with --embedded",
        None,
        parse=redis_url,
        secret=True,
        show=masked,
    )
    redis_prefix: str = setting(
        "Prefix of every key and every pub/sub channel in Redis",
        "notify",
        check=Regexp(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z", error="Use 1 to 64 letters, digits, and _ . : -"),
    )
    redis_timeout: float = setting(
        "How long Redis may take to answer before the caller is told to try again",
        1.0,
        "float",
        check=_seconds(at_most=60),
    )
    redis_start_timeout: float = setting(
        "How long a starting node waits for Redis; 0: forever",
        0.0,
        "float",
        check=_seconds(positive=False),
    )
    data_dir: Path = setting("Where the embedded server (--embedded) keeps its data", Path(".notify"), "path")
    host: str = setting("Address of the public port", "0.0.0.0")  # noqa: S104 - a server in a container has to
    port: int = setting("Public port: Socket.IO for clients", 8080, "int", check=Range(0, 65535))
    internal_host: str = setting("Address of the internal port", "127.0.0.1")
    internal_port: int = setting(
        "Internal port: HTTP API, health, metrics. The same number as NOTIFY_PORT puts both on one",
        8081,
        "int",
        check=Range(0, 65535),
    )
    advertise_url: str | None = setting(
        "Where other nodes reach this node's internal port, as `http://<host>:<port>`. Default: "
        "NOTIFY_INTERNAL_HOST, or where that is every address, the local address of the connection to Redis",
        None,
        parse=advertise_url,
    )
    node_id: str | None = setting(
        "Name of this node, different on each. Generated at the start when not set",
        None,
        check=Regexp(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", error="Use 1 to 64 letters, digits, and _ . -"),
    )
    jwt_secret: Secret | None = setting(
        "Secret that signs the clients' tokens (HS256), 32 bytes or more. A line break at its end is ignored",
        None,
        parse=jwt_secret,
        secret=True,
    )
    jwt_public_key: str | None = setting(
        "PEM of the public key that verifies the clients' tokens (RS256, ES256)",
        None,
        parse=public_key,
        show=lambda _: "set",
    )
    jwt_jwks_url: str | None = setting(
        "Where the public keys that verify the clients' tokens are published as a JWK set",
        None,
        parse=jwks_url,
    )
    jwt_algorithms: tuple[str, ...] = setting(
        "Accepted signature algorithms: HS256, RS256, ES256. Default: HS256 with a secret, else RS256 and "
        "ES256",
        (),
        parse=words,
    )
    jwt_issuer: str | None = setting("The `iss` that tokens must carry, when set", None)
    jwt_audience: str | None = setting("The `aud` that tokens must carry, when set", None)
    api_keys: tuple[Secret, ...] = setting(
        "API keys for backends, separated by commas: `<key>` or `<name>:<key>`, each key of 16 characters or "
        "more. `notify keys` creates others, without a restart",
        (),
        parse=api_keys,
        secret=True,
    )
    cors_origins: tuple[str, ...] = setting(
        "Origins of the pages that may connect (https://app.example.com, or https://*.example.com for all "
        "subdomains, or http://localhost:* for all ports), separated by commas; * for any. Default: the same "
        "origin only",
        (),
        parse=origins,
    )
    namespaces: tuple[str, ...] = setting(
        "Socket.IO namespaces besides /, separated by commas", ("/",), parse=namespaces
    )
    send_events: tuple[str, ...] = setting(
        "Events that clients may send to each other with `send`, separated by commas",
        ("message",),
        parse=event_names,
    )
    ping_interval: float = setting("Time between two pings", 25.0, "float", check=_seconds(at_most=3600))
    ping_timeout: float = setting(
        "How long a pong may take before the connection counts as dead",
        20.0,
        "float",
        check=_seconds(at_most=3600),
    )
    connect_timeout: float = setting(
        "How long a new connection may take until it has connected to a namespace",
        20.0,
        "float",
        check=_seconds(at_most=3600),
    )
    max_payload: int = setting(
        "Maximum size of a notification, and of a message from a client",
        65536,
        "int",
        check=_bytes(1024, 16 * 1024 * 1024),
    )
    max_fanout_bytes: int = setting(
        "Bytes that one request may write to Redis: the size of each notification times the users and rooms "
        "it is for",
        64 * 1024 * 1024,
        "int",
        check=_bytes(1024 * 1024),
    )
    send_buffer_limit: int = setting(
        "Bytes that may wait for one connection before it is closed as a slow consumer (it recovers)",
        1048576,
        "int",
        check=_bytes(65536),
    )
    max_connections: int = setting(
        "Maximum connections of this node; 0: no limit", 100_000, "int", check=Range(min=0)
    )
    max_internal_connections: int = setting(
        "Maximum connections to the internal port", 4096, "int", check=Range(min=16)
    )
    max_connections_per_user: int = setting(
        "Maximum connections of one user on this node; 0: no limit", 100, "int", check=Range(min=0)
    )
    max_rooms_per_socket: int = setting(
        "Maximum rooms that one socket may be in", 128, "int", check=Range(1, 100_000)
    )
    handshake_rate: float = setting(
        "New connections that this node accepts per second; 0: no limit", 0.0, "float", check=Range(min=0)
    )
    serve_client: bool = setting(
        "Whether the public port serves the inbox and its bell for browsers, at /client/inbox.js and "
        "/client/element.js",
        True,
        "bool",
    )
    socketio_channel: str | None = setting(
        "A channel of plain python-socketio managers (`socketio`) to listen to besides `<prefix>:socketio`. "
        "Off by default: whoever can publish on it can emit to every client",
        None,
        check=Regexp(r"[!-~]{1,128}\Z", error="Use 1 to 128 ASCII characters without spaces"),
    )
    recovery_window: float = setting(
        "How long a client may be away and still be given what it missed",
        900.0,
        "float",
        check=_seconds(1, positive=False, at_most=7 * 86400),
    )
    recovery_max_messages: int = setting(
        "Maximum number of missed messages to replay; beyond it the client is told that it lost its place",
        300,
        "int",
        check=Range(1, 100_000),
    )
    inbox_ttl: float = setting(
        "How long the inbox keeps a notification", 2592000.0, "float", check=_seconds()
    )
    inbox_max: int = setting("How many notifications one inbox keeps", 1000, "int", check=Range(1, 100_000))
    drain_delay: float = setting(
        "After SIGTERM: how long load balancers have to notice before connections are closed",
        5.0,
        "float",
        check=_seconds(positive=False, at_most=3600),
    )
    drain_seconds: float = setting(
        "How long it then takes to close the connections, in batches",
        20.0,
        "float",
        check=_seconds(positive=False, at_most=3600),
    )
    shutdown_seconds: float = setting(
        "How long requests under way then have to finish",
        5.0,
        "float",
        check=_seconds(positive=False, at_most=3600),
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "Addresses or networks of the proxies whose X-Forwarded-For is believed, separated by commas",
        (),
        parse=networks,
    )
    log_level: str = setting(
        "debug, info, warning or error", "info", check=OneOf(("debug", "info", "warning", "error"))
    )
    log_format: str = setting(
        "json, console, or auto: console when standard error is a terminal, else json",
        "auto",
        check=OneOf(("auto", "json", "console")),
    )

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read, check, or raise SettingsError with everything that is wrong.

        An empty variable counts as not set: that is how Compose files and CI systems say so.
        """
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
        problems = unknown(given, [PREFIX + each.name.upper() for each in fields(cls)])
        env = Environment(with_files(given, problems))
        values = {
            each.name: env.value(each.name.upper(), each.default, **each.metadata) for each in fields(cls)
        }
        try:
            env.seal()
        except environs.EnvValidationError as error:
            assert isinstance(error.error_messages, Mapping)  # noqa: S101 - so it is when sealed
            for name, sentences in error.error_messages.items():
                problems.setdefault(name, []).extend(map(str, sentences))
        _agree(values, problems)
        if problems:
            raise SettingsError(problems)
        return cls(**values)

    def missing(self, *, embedded: bool) -> dict[str, list[str]]:
        """What `notify serve` needs and does not have."""
        found: dict[str, list[str]] = {}
        if not (self.jwt_secret or self.jwt_public_key or self.jwt_jwks_url):
            found["NOTIFY_JWT_SECRET"] = [
                "Set this (32 bytes or more; `openssl rand -hex 32` makes one), or NOTIFY_JWT_PUBLIC_KEY, or "
                "NOTIFY_JWT_JWKS_URL: without one of them no client's token can be verified."
            ]
        if self.redis_url is None and not embedded:
            found["NOTIFY_REDIS_URL"] = [
                "Set this to your Redis or Valkey (redis://host:6379/0), or start with --embedded "
                "to run one here."
            ]
        if self.redis_url is not None and embedded:
            found["NOTIFY_REDIS_URL"] = [
                "--embedded runs its own server: unset this, or start without --embedded."
            ]
        return found

    def describe(self) -> list[Line]:
        """Every setting with its value as text. Of a secret it is only said whether it is set."""
        return [
            _line(each.name, each.default, getattr(self, each.name), each.metadata) for each in fields(self)
        ]


def _agree(values: dict[str, Any], problems: dict[str, list[str]]) -> None:
    """What can only be judged of several together; fills in the algorithms that follow from the key."""
    sources = [name for name in ("jwt_secret", "jwt_public_key", "jwt_jwks_url") if values[name] is not None]
    if len(sources) > 1:
        names = " and ".join(PREFIX + name.upper() for name in sources)
        problems.setdefault(PREFIX + sources[0].upper(), []).append(f"Set only one of {names}.")
    fitting = ("HS256",) if sources == ["jwt_secret"] else ("RS256", "ES256")
    name = PREFIX + "JWT_ALGORITHMS"
    chosen: tuple[str, ...] = values["jwt_algorithms"] or ()
    if not set(chosen) <= set(ALGORITHMS):
        problems.setdefault(name, []).append(f"Use {', '.join(ALGORITHMS)}; others are not accepted.")
    elif chosen and len(sources) == 1 and not set(chosen) <= set(fitting):
        problems.setdefault(name, []).append(
            f"With {PREFIX}{sources[0].upper()} only {' and '.join(fitting)} can be verified."
        )
    elif len(sources) == 1:
        values["jwt_algorithms"] = chosen or fitting
        fault = _key_fault(values, values["jwt_algorithms"])
        if fault is not None:
            problems.setdefault(PREFIX + sources[0].upper(), []).append(fault)
    if (values["send_buffer_limit"] or 0) < 2 * (values["max_payload"] or 0):
        problems.setdefault(PREFIX + "SEND_BUFFER_LIMIT", []).append(
            "Must be at least twice NOTIFY_MAX_PAYLOAD."
        )


def _key_fault(values: Mapping[str, Any], algorithms: tuple[str, ...]) -> str | None:
    """Why these keys cannot verify with these algorithms, as who uses them judges it."""
    try:
        if values["jwt_secret"] is not None:
            signing_keys.from_secret(values["jwt_secret"].reveal().encode())
        elif values["jwt_public_key"] is not None:
            signing_keys.from_pem(values["jwt_public_key"], algorithms)
    except ValueError as error:
        return f"This cannot be used: {error}."
    return None


def _line(name: str, default: Any, value: Any, metadata: Mapping[str, Any]) -> Line:
    changed = value != default
    if value in (None, ()):
        text = "not set" if metadata["secret"] else ""
    elif metadata["show"] is not None:
        text = metadata["show"](value)
    else:
        text = "set" if metadata["secret"] else _text(value)
    unit = check.unit if isinstance(check := metadata["check"], _Measure) else ""
    return Line(PREFIX + name.upper(), text, _text(default), changed, metadata["meaning"], unit)


def _text(value: Any) -> str:
    """A value in the form in which it would be set."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


__all__ = ["CLIENT_SIDE", "PREFIX", "Line", "Network", "Secret", "Settings", "SettingsError"]
