"""An ACL user that may touch only the prefix's keys and channels, and no admin commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.operators.core import core, nodes
from tests.operators.servers import Server
from tests.support import debian

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(120)


def rule() -> str:
    """The rule that docs/redis.md tells operators to use."""
    found: str
    (found,) = re.findall(r"^user notify on (.*)$", (ROOT / "docs" / "redis.md").read_text(), re.MULTILINE)
    return found


def chart_rule() -> str:
    found: str
    (found,) = re.findall(
        r"^user notify on (.*)$", (ROOT / "k8s/notify/files/users.acl").read_text(), re.MULTILINE
    )
    return found.replace("#{{ .passwordHash }} ", "").replace("{{ .prefix }}", "notify")


def server(directory: Path, rules: str, *, program: str | None = None) -> Server:
    admin: dict[str, Any] = {"username": "admin", "password": "admin-password"}
    return Server(
        directory,
        "appendonly yes",
        "user default off",
        "user admin on >admin-password ~* &* +@all",
        f"user notify on {rules}",
        program=program,
        **admin,
    )


def test_the_chart_uses_the_rule_of_the_documentation() -> None:
    documented = rule().replace(">PASSWORD ", "")
    assert chart_rule() == documented


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_the_core_works_for_a_fenced_user(kind: str, tmp_path: Path) -> None:
    program = debian.program("redis-server", "redis-server") if kind == "redis" else None
    rules = rule().replace("PASSWORD", "s3cret")
    with server(tmp_path / "redis", rules, program=program) as fenced:
        url = f"redis://notify:s3cret@127.0.0.1:{fenced.port}/0"
        async with nodes(url, tmp_path) as cluster:
            await core(cluster)
            for node in cluster.nodes:
                assert await node.metric("notify_subscribed") == 1
                assert "s3cret" not in node.log
        assert fenced.call("ACL", "LOG") == [], "nothing was asked for beyond the fence"


def test_the_fence_holds(tmp_path: Path) -> None:
    with server(tmp_path / "redis", rule().replace("PASSWORD", "s3cret")) as fenced:
        login: dict[str, Any] = {"username": "notify", "password": "s3cret", "protocol": 2}
        with redis.Redis(port=fenced.port, **login) as client:
            client.set("notify:x", "1", ex=10)
            for command in (
                ("SET", "other", "1"),
                ("PUBLISH", "other", "1"),
                ("CONFIG", "GET", "*"),
                ("FLUSHALL",),
                ("KEYS", "*"),
                ("ACL", "LIST"),
                ("SHUTDOWN",),
                ("REPLICAOF", "NO", "ONE"),
                ("CLIENT", "KILL", "TYPE", "normal"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command)
