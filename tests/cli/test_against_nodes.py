"""send, listen, token and keys against real nodes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cli.test_commands import QUIET
from tests.cluster import Cluster
from tests.tokens import API_KEY, JWT_SECRET, mint


async def notify(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run the command; exit code, output, errors."""
    async with started(*arguments, **environ) as process:
        out, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()


@asynccontextmanager
async def started(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, running."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "notify", *arguments,
        env={**QUIET, **{f"NOTIFY_{name}": value for name, value in environ.items()}},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, text: str) -> None:
    """Wait until the process says so on its error output."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, f"it ended without saying {text!r}"


async def test_what_is_sent_to_one_node_is_heard_at_another(cluster: Cluster, unique: str):
    token = (await notify("token", unique, JWT_SECRET=JWT_SECRET))[1].strip()
    first, second, _ = cluster.nodes
    async with started("listen", "--url", second.url, "--json", "--count", "2", TOKEN=token) as listening:
        await said(listening, "connected in /")
        for _ in range(2):
            code, printed, errors = await notify(
                "send", "--user", unique, "--title", "Grüße", "--data", '{"n": 1}',
                "--url", first.internal_url, "--idempotency-key", unique, API_KEY=API_KEY,
            )  # fmt: skip
            assert (code, errors) == (0, "")
        await first.post({"to": {"user": unique}, "title": "second", "event": "other"})
        out, _ = await asyncio.wait_for(listening.communicate(), 20)
    assert listening.returncode == 0
    heard = [json.loads(line) for line in out.decode().splitlines()]
    heard = [each for each in heard if not each["event"].startswith("session:")]
    assert [each["event"] for each in heard] == ["notification", "other"]
    assert heard[0]["args"][0]["id"] == printed.strip()
    assert (heard[0]["args"][0]["title"], heard[0]["args"][0]["data"]) == ("Grüße", {"n": 1})


async def test_listen_joins_rooms_by_long_polling_and_prints_for_people(cluster: Cluster, unique: str):
    node = cluster.nodes[2]
    arguments = ("listen", "--url", node.url, "--user", unique, "--room", unique, "--polling", "--count", "1")
    async with started(*arguments, JWT_SECRET=JWT_SECRET) as listening:
        await said(listening, "connected in /")
        async with asyncio.timeout(20):
            while not await node.metric("notify_topics") or b"build" not in await _heard(
                listening, cluster, unique
            ):
                pass
        await asyncio.wait_for(listening.wait(), 20)


async def _heard(listening: asyncio.subprocess.Process, cluster: Cluster, room: str) -> bytes:
    assert listening.stdout is not None
    await cluster.post({"to": {"room": room}, "title": "build \x1b[31mred", "body": "#812"})
    try:
        async with asyncio.timeout(0.5):
            while b"notification" not in (line := await listening.stdout.readline()):
                pass
    except TimeoutError:
        return b""
    assert b"\x1b" not in line
    assert "\N{REPLACEMENT CHARACTER}[31mred  #812".encode() in line
    return line


async def test_a_refused_token_ends_listen_with_the_reason(cluster: Cluster, unique: str):
    expired = mint(unique, expires_in_s=-60)
    code, out, errors = await notify("listen", "--url", cluster.nodes[0].url, "--token", expired)
    assert (code, out) == (1, "")
    assert "token_expired" in errors
    assert "Traceback" not in errors


async def test_listen_ends_quietly_at_ctrl_c(cluster: Cluster, unique: str):
    async with started("listen", "--url", cluster.nodes[0].url, "--token", mint(unique)) as listening:
        await said(listening, "connected in /")
        listening.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(listening.communicate(), 20)
    assert listening.returncode == 130
    assert b"Traceback" not in errors


async def test_what_the_api_refuses_is_told_with_its_fields(cluster: Cluster, unique: str):
    url = cluster.nodes[0].internal_url
    code, out, errors = await notify(
        "send", "--user", unique, "--event", "connect", "--url", url, API_KEY=API_KEY
    )
    assert (code, out) == (1, "")
    assert "422" in errors
    assert "/event" in errors
    code, _, errors = await notify("send", "--user", unique, "--url", url, API_KEY="a-wrong-key-0123456789")
    assert code == 1
    assert "401 unauthorized" in errors
    code, _, errors = await notify("send", "--user", unique, "--url", cluster.nodes[0].url, API_KEY=API_KEY)
    assert code == 1
    assert "internal port" in errors


async def test_keys_are_made_used_listed_and_revoked(cluster: Cluster, unique: str):
    redis = {"REDIS_URL": cluster.valkey.url}
    code, key, note = await notify("keys", "create", unique, **redis)
    key = key.strip()
    assert code == 0
    assert "publish" in note
    status, _ = await cluster.nodes[0].post({"to": {"user": unique}}, key=key)
    assert status == 202
    code, listed, _ = await notify("keys", "list", **redis)
    assert code == 0
    (line,) = [line for line in listed.splitlines() if unique in line]
    assert key not in listed
    key_id = line.split()[0]
    assert (await notify("keys", "revoke", key_id, **redis))[0] == 0
    status, _ = await cluster.nodes[1].post({"to": {"user": unique}}, key=key)
    assert status == 401
    code, _, errors = await notify("keys", "revoke", key_id, **redis)
    assert code == 1
    assert key_id in errors
    code, _, errors = await notify("keys", "create", "not a name!", **redis)
    assert code == 1
    assert "/name" in errors


async def test_keys_find_the_embedded_server_of_a_data_directory(cluster: Cluster):
    code, _, _ = await notify("keys", "list", DATA_DIR=str(cluster.valkey.directory))
    assert code == 0
