"""What an operator may set: environment variables that begin with NOTIFY_, read once at the start.

A wrong value never comes to light at three in the morning: each is checked here, all wrong ones are named
at once, and a name that nobody knows (a typing error, mostly) fails the start like a wrong value does.
`.env` files are not read: whoever wants one has a shell, systemd or Compose read it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import environs
from marshmallow.validate import OneOf, Range, Regexp

from notify.settings_values import (
    Network,
    Secret,
    api_keys,
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

PREFIX = "NOTIFY_"
CLIENT_SIDE = frozenset({"NOTIFY_API_KEY", "NOTIFY_TOKEN", "NOTIFY_URL"})
"""Read by `notify send` and `notify listen`, so no mistake in the environment of a server."""
FROM_FILES = ("NOTIFY_REDIS_URL", "NOTIFY_JWT_SECRET", "NOTIFY_JWT_PUBLIC_KEY", "NOTIFY_API_KEYS")
"""May also be set as `<name>_FILE`, the way Docker and Kubernetes mount secrets."""
ALGORITHMS = ("HS256", "RS256", "ES256")

# Kubernetes and Docker links put these into every container beside a Service called "notify".
_SERVICE_LINK = re.compile(
    r"NOTIFY_(.*_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)|NOTIFY_.+_PORT"
)
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://\S+:\d+")


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


def _is(
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


def _seconds(at_least: float = 0.0, *, positive: bool = True, at_most: float = 10 * 365 * 86400) -> Range:
    return Range(min=at_least, min_inclusive=not positive, max=at_most)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, each with its default. Durations are seconds."""

    redis_url: str | None = _is(
        "Where Redis (7.0 or newer) or Valkey is: redis://, rediss://, unix:// or redis+sentinel://. "
        "Needed by `notify serve`, unless it runs with --embedded",
        None,
        parse=redis_url,
        secret=True,
        show=masked,
    )
    redis_prefix: str = _is(
        "What every key and every pub/sub channel in Redis begins with",
        "notify",
        check=Regexp(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z", error="Use 1 to 64 letters, digits, and _ . : -"),
    )
    redis_timeout: float = _is(
        "How long an answer of Redis may take before the caller is told to try again",
        1.0,
        "float",
        check=_seconds(at_most=60),
    )
    data_dir: Path = _is("Where the embedded server (--embedded) keeps its data", Path(".notify"), "path")
    host: str = _is("Address of the public port", "0.0.0.0")  # noqa: S104 - a server in a container has to
    port: int = _is("Public port: Socket.IO for clients", 8080, "int", check=Range(0, 65535))
    internal_host: str = _is("Address of the internal port", "127.0.0.1")
    internal_port: int = _is(
        "Internal port: HTTP API, health, metrics. The same number as NOTIFY_PORT puts both on one",
        8081,
        "int",
        check=Range(0, 65535),
    )
    node_id: str | None = _is(
        "Name of this node, different on each. Made up at the start when not set",
        None,
        check=Regexp(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", error="Use 1 to 64 letters, digits, and _ . -"),
    )
    jwt_secret: Secret | None = _is(
        "Secret that signs the clients' tokens (HS256), 32 bytes or more",
        None,
        parse=jwt_secret,
        secret=True,
    )
    jwt_public_key: str | None = _is(
        "PEM of the public key that verifies the clients' tokens (RS256, ES256)",
        None,
        parse=public_key,
        show=lambda _: "set",
    )
    jwt_jwks_url: str | None = _is(
        "Where the public keys that verify the clients' tokens are published as a JWK set",
        None,
        parse=jwks_url,
    )
    jwt_algorithms: tuple[str, ...] = _is(
        "Accepted signatures, of HS256, RS256, ES256. Default: HS256 with a secret, else RS256 and ES256",
        (),
        parse=words,
    )
    jwt_issuer: str | None = _is("The `iss` that tokens must carry, when set", None)
    jwt_audience: str | None = _is("The `aud` that tokens must carry, when set", None)
    api_keys: tuple[Secret, ...] = _is(
        "API keys for backends, separated by commas: `<key>` or `<name>:<key>`, of 16 characters or more. "
        "`notify keys` makes others, without a restart",
        (),
        parse=api_keys,
        secret=True,
    )
    cors_origins: tuple[str, ...] = _is(
        "Origins of the pages that may connect (https://app.example.com), separated by commas; * for any. "
        "Default: the same origin only",
        (),
        parse=origins,
    )
    namespaces: tuple[str, ...] = _is(
        "Socket.IO namespaces beside /, separated by commas", ("/",), parse=namespaces
    )
    ping_interval: float = _is("Time between two pings", 25.0, "float", check=_seconds(at_most=3600))
    ping_timeout: float = _is(
        "How long a pong may take before the connection counts as dead",
        20.0,
        "float",
        check=_seconds(at_most=3600),
    )
    connect_timeout: float = _is(
        "How long a new connection may take until it has connected to a namespace",
        20.0,
        "float",
        check=_seconds(at_most=3600),
    )
    max_payload: int = _is(
        "Bytes of one notification at most, and of one message from a client",
        65536,
        "int",
        check=Range(1024, 16 * 1024 * 1024),
    )
    send_buffer_limit: int = _is(
        "Bytes that may wait for one connection before it is cut as a slow consumer (it recovers)",
        1048576,
        "int",
        check=Range(min=65536),
    )
    max_connections: int = _is(
        "Connections of this node at most; 0: no limit", 100_000, "int", check=Range(min=0)
    )
    max_connections_per_user: int = _is(
        "Connections of one user on this node at most; 0: no limit", 100, "int", check=Range(min=0)
    )
    max_rooms_per_socket: int = _is("Rooms one socket may be in", 128, "int", check=Range(1, 100_000))
    handshake_rate: float = _is(
        "New connections a second this node takes; 0: no limit", 0.0, "float", check=_seconds(positive=False)
    )
    recovery_window: float = _is(
        "How long a client may be away and still be given what it missed",
        900.0,
        "float",
        check=_seconds(1, positive=False, at_most=7 * 86400),
    )
    recovery_max_messages: int = _is(
        "How many missed messages are replayed at most; with more the client is told that it lost its place",
        300,
        "int",
        check=Range(1, 100_000),
    )
    inbox_ttl: float = _is("How long the inbox keeps a notification", 2592000.0, "float", check=_seconds())
    inbox_max: int = _is("How many notifications one inbox keeps", 1000, "int", check=Range(1, 100_000))
    drain_delay: float = _is(
        "After SIGTERM: how long load balancers get to notice before connections are closed",
        5.0,
        "float",
        check=_seconds(positive=False, at_most=3600),
    )
    drain_seconds: float = _is(
        "Over how long the connections are then closed, in batches",
        20.0,
        "float",
        check=_seconds(positive=False, at_most=3600),
    )
    shutdown_seconds: float = _is(
        "How long requests under way then get to finish",
        5.0,
        "float",
        check=_seconds(positive=False, at_most=3600),
    )
    trusted_proxies: tuple[Network, ...] = _is(
        "Addresses or networks of the proxies whose X-Forwarded-For is believed, separated by commas",
        (),
        parse=networks,
    )
    log_level: str = _is(
        "debug, info, warning or error", "info", check=OneOf(("debug", "info", "warning", "error"))
    )
    log_format: str = _is("json or console", "json", check=OneOf(("json", "console")))

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read, check, or raise SettingsError with everything that is wrong.

        An empty variable counts as not set: that is how Compose files and CI systems say so.
        """
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
        problems = _unknown(given, [PREFIX + each.name.upper() for each in fields(cls)])
        env = _Environment(_with_files(given, problems))
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
        """What `notify serve` cannot do without, and has not got."""
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
                "--embedded brings a server of its own: unset this, or leave that out."
            ]
        return found

    def describe(self) -> list[Line]:
        """Every setting with its value as text. Of a secret it is only said whether it is set."""
        return [
            _line(each.name, each.default, getattr(self, each.name), each.metadata) for each in fields(self)
        ]


class _Environment(environs.Env):
    """An `Env` over a mapping that is handed in instead of the process's own."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(eager=False, prefix=PREFIX)
        self._given = given

    def value(self, name: str, default: Any, *, read: str, check: Any, parse: Any, **_: Any) -> Any:
        """The value, or the default when it is not set. What is wrong is gathered for `seal`."""
        if PREFIX + name not in self._given:
            return default
        if parse is None:
            return getattr(self, read)(name, validate=check)
        self.add_parser(f"of_{name}", parse)
        return getattr(self, f"of_{name}")(name)

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key, default)


def _with_files(given: Mapping[str, str], problems: dict[str, list[str]]) -> dict[str, str]:
    """The variables, with those that name a file (`NOTIFY_JWT_SECRET_FILE`) replaced by what is in it."""
    found = dict(given)
    for name in FROM_FILES:
        path = found.pop(name + "_FILE", None)
        if path is None:
            continue
        if name in found:
            problems.setdefault(name, []).append(f"Set this or {name}_FILE, not both.")
            continue
        try:
            found[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.setdefault(name + "_FILE", []).append(f"The file cannot be read: {error}")
    for name in ("NOTIFY_PORT", "NOTIFY_INTERNAL_PORT"):
        if _LINK_VALUE.fullmatch(found.get(name, "")):
            del found[name]
            problems.setdefault(name, []).append(
                "This is what Kubernetes puts here for a Service called notify, not a port: write "
                "`enableServiceLinks: false` into the pod's spec, or set the variable yourself."
            )
    return found


def _unknown(given: Mapping[str, str], known: list[str]) -> dict[str, list[str]]:
    """The names that are no setting, each with the one that was probably meant."""
    problems: dict[str, list[str]] = {}
    for name in sorted(set(given) - set(known) - {name + "_FILE" for name in FROM_FILES} - CLIENT_SIDE):
        if _SERVICE_LINK.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        hint = f" Did you mean {near[0]}?" if near else " `notify settings` shows those there are."
        problems[name] = ["There is no such setting." + hint]
    return problems


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
    elif not chosen and sources:
        values["jwt_algorithms"] = fitting
    if (values["send_buffer_limit"] or 0) < 2 * (values["max_payload"] or 0):
        problems.setdefault(PREFIX + "SEND_BUFFER_LIMIT", []).append(
            "Must be at least twice NOTIFY_MAX_PAYLOAD."
        )


def _line(name: str, default: Any, value: Any, metadata: Mapping[str, Any]) -> Line:
    changed = value != default
    if value in (None, ()):
        text = "not set" if metadata["secret"] else ""
    elif metadata["show"] is not None:
        text = metadata["show"](value)
    else:
        text = "set" if metadata["secret"] else _text(value)
    return Line(PREFIX + name.upper(), text, _text(default), changed, metadata["meaning"])


def _text(value: Any) -> str:
    """A value in the form in which it would be set."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


__all__ = ["CLIENT_SIDE", "PREFIX", "Line", "Network", "Secret", "Settings", "SettingsError"]
