"""`notify send` fed by files, pipes and many lines, against real nodes and failing ones."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_against_nodes import notify
from tests.cli.test_commands import QUIET
from tests.python_client.server import SENT, Answer, Hang, problem, serving
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY


def fed(stdin: str | bytes, *arguments: str, url: str) -> tuple[int, str, str]:
    """Run `notify send` with that on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "notify", "send", *arguments],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        env={**QUIET, "NOTIFY_URL": url, "NOTIFY_API_KEY": API_KEY},
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


MESSAGE = {"to": {"user": "42"}, "title": "Grüße", "data": {"n": 1}}


@pytest.mark.parametrize(
    "how", ["-", "@file", "--json -", "--json @file", "--json text", "over several lines"]
)
def test_a_whole_notification_is_read_from_anywhere(how: str, tmp_path: Path):
    text = json.dumps(MESSAGE, indent=2 if how == "over several lines" else None)
    file = tmp_path / "notification.json"
    file.write_text(text)
    with serving() as server:
        arguments = {
            "-": ["-"],
            "over several lines": ["-"],
            "@file": [f"@{file}"],
            "--json -": ["--json", "-"],
            "--json @file": ["--json", f"@{file}"],
            "--json text": ["--json", text],
        }[how]
        code, printed, errors = fed(text, *arguments, url=server.url)
    assert (code, printed, errors) == (0, f"{SENT['id']}\n", "")
    (came,) = server.came
    assert (came.path, json.loads(came.body)) == ("/v1/notifications", MESSAGE)


def test_body_and_data_come_through_pipes_and_files(tmp_path: Path):
    (tmp_path / "data.json").write_text('{"log": "x"}')
    with serving() as server:
        code, _, _ = fed(
            "line 1\nline 2\n",
            "--user",
            "42",
            "--body",
            "-",
            "--data",
            f"@{tmp_path}/data.json",
            url=server.url,
        )
        assert code == 0
        code, _, _ = fed('{"from": "stdin"}', "--user", "42", "--data", "-", url=server.url)
        assert code == 0
    first, second = (json.loads(each.body) for each in server.came)
    assert (first["body"], first["data"]) == ("line 1\nline 2", {"log": "x"})
    assert second["data"] == {"from": "stdin"}


def test_options_fill_in_what_the_documents_leave_out():
    lines = '{"title": "a"}\n{"title": "b", "category": "own", "to": {"user": "7"}}\n'
    with serving(then=Answer(202, {"results": [{"id": "ntf_a"}, {"id": "ntf_b"}]})) as server:
        code, printed, _ = fed(lines, "-", "--user", "42", "--category", "digest", url=server.url)
    assert (code, printed) == (0, "ntf_a\nntf_b\n")
    assert json.loads(server.came[0].body)["notifications"] == [
        {"to": {"user": "42"}, "title": "a", "category": "digest"},
        {"to": {"user": "7"}, "title": "b", "category": "own"},
    ]


async def test_many_lines_go_out_in_batches_and_wrong_ones_are_named(cluster: Cluster, unique: str):
    lines = [json.dumps({"to": {"user": unique}, "title": str(number), "ttl": 60}) for number in range(2100)]
    lines[1] = '{"to": {"user": ""}}'
    lines[1499] = "{broken"
    lines[2099] = '{"to": {"user": "42"}, "event": "connect"}'
    lines.insert(5, "")  # an empty line is none
    text = "\n".join(lines)
    url = cluster.nodes[0].internal_url
    code, printed, errors = await asyncio.to_thread(fed, text, "-", "--idempotency-key", unique, url=url)
    assert code == 1
    assert [line.split(":")[0] for line in errors.splitlines()] == ["line 2", "line 1501", "line 2101"]
    assert "/to/user must be" in errors
    assert "not JSON" in errors
    ids = printed.split()
    assert len(set(ids)) == 2097
    _, again, _ = await asyncio.to_thread(fed, text, "-", "--idempotency-key", unique, url=url)
    assert again == printed, "the same key and input post nothing twice"


def test_an_array_is_many():
    with serving(then=Answer(202, {"results": [{"id": "ntf_a"}, {"id": "ntf_b"}]})) as server:
        code, printed, _ = fed("", "--json", json.dumps([MESSAGE, MESSAGE]), url=server.url)
    assert (code, printed) == (0, "ntf_a\nntf_b\n")


def test_what_passes_is_waited_for_and_a_batch_refused_as_a_whole_ends_it():
    busy = Answer(503, problem(503, "unavailable"), {"Retry-After": "0"})
    good = Answer(202, {"results": [{"id": f"ntf_{number}"} for number in range(1000)]})
    lines = "\n".join(['{"to": {"user": "42"}}'] * 2500)
    with serving(busy, good, Answer(401, problem(401, "unauthorized"))) as server:
        code, printed, errors = fed(lines, "-", "--idempotency-key", "k", url=server.url)
    assert code == 1
    assert len(printed.split()) == 1000
    assert "503; trying again" in errors
    assert "lines 1001 to 2000 and those after them were not accepted" in errors
    assert "nothing is posted twice" in errors
    assert [each.key for each in server.came] == ["k/0", "k/0", "k/1"]


@pytest.mark.parametrize(
    ("stdin", "arguments", "says"),
    [
        ("", ["-"], "holds no notifications"),
        ("{", ["-"], "This is not JSON"),
        ("[1]", ["-"], "must be a JSON object"),
        ("x", ["-", "--body", "-"], "can be read only once"),
        ("", ["-", "--json", "{}"], "not both"),
        ("", ["notification.json"], "neither - nor @FILE"),
        ("", ["@/nowhere"], "/nowhere cannot be read: No such file"),
        ("", ["--user", "1", "--data", "@/nowhere"], "/nowhere cannot be read: No such file"),
        ("", ["--except-user", "1"], "Say who it is for"),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_is_sent(stdin: str, arguments: list[str], says: str):
    with serving() as server:
        code, printed, errors = fed(stdin, *arguments, url=server.url)
    assert (code, printed, server.came) == (2, "", [])
    assert says in errors
    assert "Traceback" not in errors


async def test_lines_are_posted_while_the_input_goes_on():
    """A thousand lines are a batch: what feeds them need not end first."""
    good = Answer(202, {"results": [{"id": f"ntf_{number}"} for number in range(1000)]})
    with serving(good, then=Hang()) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "notify", "send", "-",
            env={**QUIET, "NOTIFY_URL": server.url, "NOTIFY_API_KEY": API_KEY},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b'{"to": {"user": "42"}}\n' * 1001)
            await process.stdin.drain()
            async with asyncio.timeout(30):
                assert (await process.stdout.readline()).startswith(b"ntf_")
        finally:
            process.kill()
            await process.wait()


async def test_a_wrong_url_names_the_option_and_the_variable():
    code, _, errors = await notify("send", "--user", "1", URL="localhost:8081", API_KEY="k")
    assert code == 2
    assert "--url or NOTIFY_URL" in errors
    assert "write http://localhost:8081" in errors
    for wrong in ("http://", "http://host:port", "ftp://host"):
        code, _, errors = await notify("send", "--user", "1", "--url", wrong, API_KEY="k")
        assert (code, "--url" in errors, "Traceback" in errors) == (2, True, False)
    assert os.environ.get("NOTIFY_URL") is None


@pytest.mark.parametrize(
    ("given", "ahead_s"),
    [("+15m", 900), ("+2h", 7200), ("2026-12-01T09:00:00+02:00", None), ("2026-12-01 09:00", None)],
)
def test_a_time_is_read_as_people_write_it(given: str, ahead_s: int | None):
    with serving() as server:
        code, _, _ = fed("", "--user", "42", "--at", given, url=server.url)
    assert code == 0
    sent = datetime.fromisoformat(json.loads(server.came[0].body)["deliver_at"])
    wanted = (
        datetime.fromisoformat(given) if ahead_s is None else datetime.now(UTC) + timedelta(seconds=ahead_s)
    )
    assert abs(sent - wanted.astimezone(UTC)) < timedelta(seconds=60 if ahead_s else 1)


@pytest.mark.parametrize(
    "given", ["tomorrow", "+99999999999d", "9999-12-31T23:00-05:00", "+" + "9" * 400 + "s"]
)
def test_what_is_no_time_is_told(given: str):
    with serving() as server:
        code, _, errors = fed("", "--user", "42", "--at", given, url=server.url)
    assert (code, server.came) == (2, [])
    assert "write 2026-12-01T09:00, or +15m" in errors


async def test_a_scheduled_one_is_taken_by_the_node_for_its_time(cluster: Cluster, unique: str):
    node = cluster.nodes[0]
    arguments = ("send", "--user", unique, "--title", "Later", "--at", "+1h", "--url", node.internal_url)
    before = await node.metric("notify_scheduled_total", outcome="accepted")
    code, printed, errors = await notify(*arguments, API_KEY=API_KEY)
    assert (code, errors, printed[:4]) == (0, "", "ntf_")
    assert await node.metric("notify_scheduled_total", outcome="accepted") == before + 1


async def test_a_time_that_has_passed_is_said_to_be_now(cluster: Cluster, unique: str):
    given = ("send", "--user", unique, "--title", "Late", "--url", cluster.nodes[0].internal_url, "--at")
    code, printed, errors = await notify(*given, "2020-01-01T00:00", API_KEY=API_KEY)
    assert (code, printed[:4], errors) == (0, "ntf_", "-- its time has passed: it was delivered at once\n")
    code, printed, errors = await notify(*given, "+31d", API_KEY=API_KEY)
    assert (code, printed) == (1, "")
    assert errors.count("must be at most 30 days ahead") == 1
