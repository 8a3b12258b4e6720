"""send, listen, token and keys against real nodes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cli.test_commands import QUIET
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY, JWT_SECRET, mint


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
    async with asyncio.timeout(30):
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
        async with asyncio.timeout(30):
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


async def test_the_secret_of_the_cluster_is_replaced_and_the_former_one_stays_for_a_while(cluster: Cluster):
    with cluster.valkey.client() as client:
        before = client.hget("notify:cluster_secret", "newest")
        assert isinstance(before, bytes), "the first node has made one"
        code, printed, told = await notify("cluster", "rotate-secret", REDIS_URL=cluster.valkey.url)
        assert (code, printed) == (0, "")
        assert "within 5 s" in told
        assert "for 30 s" in told
        assert client.hget("notify:cluster_secret", "newest") != before
        assert client.hexists("notify:cluster_secret", before.decode())
        assert before.decode() not in told


async def test_keys_find_the_embedded_server_of_a_data_directory(cluster: Cluster):
    code, _, _ = await notify("keys", "list", DATA_DIR=str(cluster.valkey.directory))
    assert code == 0


async def test_listen_ends_with_its_reader_though_nothing_more_comes(cluster: Cluster, unique: str):
    """`notify listen | head -1`."""
    command = f"{sys.executable} -m notify listen --url {cluster.nodes[0].url} --token {mint(unique)}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}",
        env=QUIET, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(), 20)
    first, code = out.decode().splitlines()
    assert "session:ready" in first
    assert code == "0"
    assert b"Traceback" not in errors


async def test_listen_with_a_closed_output_ends_at_the_first_event(cluster: Cluster, unique: str):
    command = f"{sys.executable} -m notify listen --url {cluster.nodes[0].url} --token {mint(unique)} >&-"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=QUIET, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert errors.decode().splitlines()[-1] == "Error: standard output is closed."


async def test_listen_tells_an_unknown_namespace_and_the_wrong_port(cluster: Cluster, unique: str):
    node = cluster.nodes[0]
    arguments = ("listen", "--token", mint(unique), "--url")
    code, _, errors = await notify(*arguments, node.url, "--namespace", "/nope")
    assert code == 1
    assert "no namespace /nope" in errors
    assert "NOTIFY_NAMESPACES" in errors
    code, _, errors = await notify(*arguments, node.internal_url)
    assert code == 1
    assert "Is --url the public port" in errors


async def test_a_collapse_key_takes_the_place_of_the_older_one(cluster: Cluster, unique: str):
    node = cluster.nodes[0]
    arguments = ("send", "--user", unique, "--collapse-key", "build", "--url", node.internal_url, "--title")
    for title in ("Building", "Built"):
        code, _, errors = await notify(*arguments, title, API_KEY=API_KEY)
        assert (code, errors) == (0, "")
    _, page = await node.request("GET", f"/v1/users/{unique}/inbox")
    assert [entry["title"] for entry in page["data"]] == ["Built"]


async def test_an_inbox_is_shown_marked_and_counted_again(cluster: Cluster, unique: str):
    redis = {"REDIS_URL": cluster.valkey.url}
    ids = [
        (await cluster.nodes[0].post({"to": {"user": unique}, "title": f"No.\n{number}", "category": "ci"}))[
            1
        ]["id"]
        for number in range(3)
    ]
    code, listed, note = await notify("inbox", unique, "--limit", "2", **redis)
    assert code == 0
    assert [line.split()[0] for line in listed.splitlines()] == ids[:0:-1]
    assert "No. 2" in listed, "on one line"
    assert note.startswith("3 unseen, 3 unread, 3 in all; more with --after ")
    code, rest, _ = await notify("inbox", unique, "--after", note.split()[-1], "--json", **redis)
    assert [entry["id"] for entry in json.loads(rest)["data"]] == ids[:1]

    code, _, note = await notify("inbox", unique, "--mark", "read", ids[0], "ntf_unknown", **redis)
    assert (code, note) == (0, "1 marked as read.\nntf_unknown is not in the inbox.\n")
    code, marked, _ = await notify(
        "inbox", unique, "--mark", "archived", "--up-to", ids[1], "--category", "ci", "--json", **redis
    )
    assert json.loads(marked)["counts"] == {"unseen": 1, "unread": 1, "total": 1}
    assert (await notify("inbox", unique, "--check", **redis))[0] == 0
    with cluster.valkey.client() as client:
        (key,) = client.scan_iter(f"*:inbox:{{{unique}}}:entries", count=1000)
        client.hdel(key, ids[2].removeprefix("ntf_"))
        code, found, _ = await notify("inbox", unique, "--check", **redis)
        assert code == 1
        assert "is stored" in found
        client.delete(*client.scan_iter(f"*:inbox:{{{unique}}}*", count=1000))

    for wrong, sentence in (
        (["--mark", "read"], "ids give either ids or up_to."),
        (["--up-to", "x"], "need --mark."),
        (["--mark", "snoozed", "x", "--until", "tomorrow"], "until must be an RFC 3339 time"),
        (["--check", "--mark", "read"], "not both"),
    ):
        code, _, errors = await notify("inbox", unique, *wrong, **redis)
        assert code == 2, wrong
        assert sentence in errors


async def test_a_notification_is_shown_and_retracted(cluster: Cluster, unique: str):
    node = cluster.nodes[1]
    others = f"{unique}-bo"
    sent = ("send", "--user", unique, "--user", others, "--title", "Line\nbreak", "--url", node.internal_url)
    _, id_, _ = await notify(*sent, API_KEY=API_KEY)
    id_ = id_.strip()
    reached = {"URL": node.internal_url, "API_KEY": API_KEY}
    await node.request("POST", f"/v1/users/{unique}/inbox/mark", json={"as": "seen", "ids": [id_]})
    code, out, errors = await notify("show", id_, "--recipients", **reached)
    assert (code, errors) == (0, "")
    first, *rest = out.splitlines()
    assert first == f"{id_}  accepted  Line break"
    assert "  for 2 in all: 1 delivered, 1 seen, 0 read, 0 archived" in rest
    assert rest[-1] == f"  {others}  not delivered"
    assert rest[-2].startswith(f"  {unique}  seen 20")
    code, out, _ = await notify("show", id_, "--json", **reached)
    assert (code, json.loads(out)["recipients"], "users" in json.loads(out)) == (0, 2, False)

    for _ in range(2):
        assert await notify("retract", id_, **reached) == (0, "", "")
    code, out, _ = await notify("show", id_, **reached)
    assert (code, out.splitlines()[0]) == (0, f"{id_}  retracted")

    unknown = "ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"
    code, out, errors = await notify("retract", unknown, id_, **reached)
    assert (code, out) == (1, "")
    assert errors.startswith(f"{unknown}: Not found (404 not_found)")
    code, _, errors = await notify("show", "no/such?id", **reached)
    assert (code, "Not found (404 not_found)" in errors) == (1, True)
    code, _, errors = await notify("show", id_, URL=node.internal_url)
    assert (code, "NOTIFY_API_KEY" in errors) == (2, True)
