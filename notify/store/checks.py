"""What is checked of a Redis before it is used.

All of it stands in INFO, so CONFIG, which managed services forbid, is not needed. A user whose ACL forbids
INFO too still has HELLO, which tells version, role and mode.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from notify.domain.errors import NotifyError

OLDEST = (7, 0)

SENTENCES = {
    "sentinel": "NOTIFY_REDIS_URL names a Sentinel as if it were Redis: "
    "write redis+sentinel://host:26379,host2:26379/<service name>.",
    "cluster": "This Redis runs in cluster mode, in which one script cannot write several logs at once: "
    "use one without cluster mode (with Sentinel for failover).",
    "version": "This Redis is {redis_version}: use 7.0 or newer, or Valkey.",
    "replica": "This Redis is a replica and accepts no writes: point NOTIFY_REDIS_URL at its master, "
    "or at the Sentinels (redis+sentinel://) that know it.",
    "evicts": "This Redis evicts keys when it is full (maxmemory-policy {maxmemory_policy}), and accepted "
    "notifications with them: set `maxmemory-policy noeviction`.",
    "no_append_only": "This Redis keeps no append-only file: if it crashes, accepted notifications are "
    "lost. Set `appendonly yes`.",
    "info_forbidden": "The Redis user may not run INFO, so nothing is known about eviction and the "
    "append-only file: make sure of `maxmemory-policy noeviction` and `appendonly yes`, or allow `+info`.",
}

Execute = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to say about a Redis. `refused` ones stop the start; `sentence` says what to do."""

    severity: Literal["refused", "warned", "noted"]
    code: str
    sentence: str


class UnfitRedis(Exception):
    """This Redis would break a promise. The message has a sentence for each reason."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__("\n".join(finding.sentence for finding in findings))


async def examine(execute: Execute) -> list[Finding]:
    """What there is to say about the Redis behind `execute`; an empty list when all is well.

    Raises UnfitRedis when it must not be used, and Unavailable when it does not answer.
    """
    info = await _info(execute)
    findings = []
    if info is None:
        info = await _hello(execute)
        findings.append(Finding("noted", "info_forbidden", SENTENCES["info_forbidden"]))
    findings += judge(info)
    if refused := [finding for finding in findings if finding.severity == "refused"]:
        raise UnfitRedis(refused)
    return findings


def judge(info: Mapping[str, str]) -> list[Finding]:
    """The findings that follow from the fields of INFO. A field that is not there is not judged."""
    mode = info.get("redis_mode") or info.get("server_mode")
    version = info.get("redis_version", "")  # Valkey gives the version of Redis it is compatible with: 7.2.4
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if mode == "sentinel":
        refused = {"sentinel": True}
    else:
        refused = {
            "cluster": mode == "cluster" or info.get("cluster_enabled") == "1",
            "version": len(numbers) == 2 and numbers < OLDEST,
            "replica": info.get("role") in ("slave", "replica"),
            "evicts": info.get("maxmemory_policy", "noeviction") != "noeviction",
        }
    found = [Finding("refused", code, SENTENCES[code].format(**info)) for code, so in refused.items() if so]
    if info.get("aof_enabled") == "0":
        found.append(Finding("warned", "no_append_only", SENTENCES["no_append_only"]))
    return found


async def _info(execute: Execute) -> dict[str, str] | None:
    try:
        reply = await execute("INFO")
    except NotifyError as error:
        if error.retryable:
            raise
        return None  # an ACL forbids it, or it was renamed
    lines = bytes(reply).decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


async def _hello(execute: Execute) -> dict[str, str]:
    try:
        reply = await execute("HELLO")
    except NotifyError as error:
        if error.retryable:
            raise
        return {}
    pairs = (
        list(reply.items()) if isinstance(reply, dict) else list(zip(reply[::2], reply[1::2], strict=False))
    )
    fields = {_text(name): _text(value) for name, value in pairs}
    names = {"version": "redis_version", "mode": "redis_mode", "role": "role"}
    return {names[name]: value for name, value in fields.items() if name in names}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
