"""`send` on real nodes, and through networks that fail."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import socketio

from notify_client import (
    Forbidden,
    Invalid,
    KeyReused,
    NotifyError,
    TooMany,
    Unauthorized,
    Unavailable,
    Unexpected,
    Unreachable,
)
from tests.python_client.conftest import Connect
from tests.python_client.server import SENT, Answer, Drip, Hang, Reset, problem, serving
from tests.support.cluster import Cluster
from tests.support.ports import free_port
from tests.support.tokens import mint


async def test_what_is_sent_reaches_a_client_on_another_node(
    connected: Connect, cluster: Cluster, unique: str
):
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    client = socketio.AsyncClient(reconnection=False)
    client.on("notification", got.put)
    auth = {"token": mint(unique), "recovery": False}
    await client.connect(cluster.nodes[1].url, auth=auth, transports=["websocket"])
    try:
        async with connected(cluster.nodes[0].internal_url) as notify:
            sent = await notify.send(
                to={"user": unique},
                title="Rechnung 4711 ist bezahlt ✓",
                url="/invoices/4711",
                data={"n": [1, None]},
            )
        async with asyncio.timeout(30):
            heard = await got.get()
    finally:
        await client.disconnect()
    assert (heard["id"], heard["title"], heard["data"]) == (
        sent.id, "Rechnung 4711 ist bezahlt ✓", {"n": [1, None]},
    )  # fmt: skip
    assert sent.status == "accepted"
    assert not sent.replayed
    assert abs(sent.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert sent.expires_at - sent.created_at == timedelta(days=30)


async def test_an_ephemeral_one_expires_never(connected: Connect, cluster: Cluster, unique: str):
    async with connected(cluster.nodes[0].internal_url) as notify:
        assert (await notify.send(to={"room": unique}, ttl=0)).expires_at is None


async def test_the_same_key_makes_the_same_notification_and_no_key_another_one(
    connected: Connect, cluster: Cluster, unique: str
):
    message = {"to": {"user": unique}, "title": "once"}
    async with connected(cluster.nodes[0].internal_url) as notify:
        first = await notify.send(**message, idempotency_key=f"{unique}-key")
        second = await notify.send(**message, idempotency_key=f"{unique}-key")
        others = [await notify.send(**message) for _ in range(2)]
        with pytest.raises(KeyReused) as refused:
            await notify.send(to={"user": unique}, title="another", idempotency_key=f"{unique}-key")
    assert (first.id, first.replayed) == (second.id, False)
    assert second.replayed
    assert first.idempotency_key == f"{unique}-key"
    assert len({first.id, *(each.id for each in others)}) == 3
    assert len({each.idempotency_key for each in others}) == 2
    assert (refused.value.code, refused.value.retryable) == ("idempotency_key_reused", False)


@pytest.mark.parametrize(
    "step",
    [
        Reset(),
        Answer(503, problem(503, "unavailable"), {"Retry-After": "0"}),
        Answer(409, problem(409, "in_flight"), {"Retry-After": "0"}),
        Answer(429, problem(429, "too_many")),
        Answer(500, problem(500, "internal")),
        Answer(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    ],
    ids=["reset", "503", "409", "429", "500", "502 of a proxy"],
)
async def test_what_may_pass_is_tried_again_with_the_same_key_and_bytes(
    connected: Connect, cluster: Cluster, unique: str, step
):
    with serving(step, step, node=cluster.nodes[0].internal_url) as server:
        async with connected(server.url) as notify:
            sent = await notify.send(to={"user": unique}, title="persistent")
    assert sent.id.startswith("ntf_")
    assert len(server.came) == 3
    assert len({each.key for each in server.came}) == len({each.body for each in server.came}) == 1
    assert server.came[0].key == sent.idempotency_key


async def test_an_answer_that_got_lost_posts_once(connected: Connect, cluster: Cluster, unique: str):
    with serving(Reset(after=True), Reset(after=True), node=cluster.nodes[0].internal_url) as server:
        async with connected(server.url) as notify:
            sent = await notify.send(to={"user": unique}, title="once")
    assert len(server.came) == 3
    assert sent.replayed, "the node had it from the first attempt"


@pytest.mark.slow
async def test_a_node_that_is_killed_while_posting_goes_on_costs_nothing(
    connected: Connect, cluster: Cluster, unique: str
):
    node = cluster.nodes[2]
    async with connected(node.internal_url) as notify:
        before = await notify.send(to={"user": unique})
        node.kill()
        waiting = asyncio.create_task(notify.send(to={"user": unique}, title="over the gap"))
        await node.start()
        after = await waiting
    assert after.id > before.id


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(401, "unauthorized", Unauthorized), (403, "forbidden", Forbidden), (422, "invalid", Invalid)],
)
async def test_what_will_not_pass_is_not_tried_again(
    connected: Connect, status: int, code: str, kind: type[NotifyError]
):
    with serving(Answer(status, problem(status, code))) as server:
        async with connected(server.url) as notify:
            with pytest.raises(kind) as raised:
                await notify.send(to={"user": "42"})
    assert len(server.came) == 1
    assert (raised.value.code, raised.value.status, raised.value.retryable) == (code, status, False)


async def test_wrong_fields_are_named_by_the_node(connected: Connect, cluster: Cluster):
    async with connected(cluster.nodes[0].internal_url) as notify:
        with pytest.raises(Invalid) as raised:
            await notify.send(to={"user": ""}, titel="typo")
    pointers = {error.pointer for error in raised.value.errors}
    assert pointers == {"/to/user", "/titel"}
    assert raised.value.errors[0].detail
    assert "/titel" in str(raised.value)
    request_id = raised.value.request_id
    assert request_id is not None
    assert request_id in cluster.nodes[0].log or request_id.startswith("req-")


async def test_a_wrong_key_is_unauthorized(connected: Connect, cluster: Cluster):
    async with connected(cluster.nodes[0].internal_url, api_key="a-wrong-key-of-the-tests") as notify:
        with pytest.raises(Unauthorized):
            await notify.send(to={"user": "42"})


@pytest.mark.parametrize(
    "message",
    [
        {"data": {"when": datetime.now(UTC)}},
        {"data": {"n": float("nan")}},
        {"title": "\ud800"},
        {"deliver_at": datetime(2026, 1, 1)},
    ],
    ids=["object", "nan", "surrogate", "zone"],
)
async def test_what_is_no_json_is_refused_before_anything_is_sent(
    connected: Connect, message: dict[str, Any]
):
    with serving() as server:
        async with connected(server.url) as notify:
            with pytest.raises(Invalid):
                await notify.send(to={"user": "42"}, **message)
    assert server.came == []


async def test_times_are_sent_with_their_zone(connected: Connect):
    at = datetime(2026, 12, 1, 9, tzinfo=UTC)
    with serving() as server:
        async with connected(server.url) as notify:
            await notify.send(to={"user": "42"}, deliver_at=at)
    assert datetime.fromisoformat(json.loads(server.came[0].body)["deliver_at"]) == at


async def test_at_the_deadline_the_last_error_is_raised(connected: Connect):
    down = Answer(503, problem(503, "unavailable", "Redis did not take it"), {"X-Request-Id": "req-7"})
    with serving(then=down) as server:
        async with connected(server.url, deadline_s=0.6) as notify:
            with pytest.raises(Unavailable) as raised:
                await notify.send(to={"user": "42"})
    assert len(server.came) > 1
    assert raised.value.retryable
    assert raised.value.request_id == "req-7"
    assert raised.value.__notes__ == [f"Given up after {len(server.came)} attempts."]


async def test_a_wait_beyond_the_deadline_is_not_begun(connected: Connect):
    with serving(then=Answer(429, problem(429, "too_many"), {"Retry-After": "3600"})) as server:
        async with connected(server.url) as notify:
            with pytest.raises(TooMany) as raised:
                await notify.send(to={"user": "42"})
    assert len(server.came) == 1
    assert raised.value.retry_after_s == 3600


@pytest.mark.parametrize("step", [Hang(), Drip()], ids=["silence", "a byte at a time"])
async def test_an_attempt_that_takes_too_long_is_given_up_and_made_again(connected: Connect, step):
    with serving(step) as server:
        async with connected(server.url, timeout_s=0.3) as notify:
            sent = await notify.send(to={"user": "42"})
    assert sent.id == SENT["id"]
    assert len(server.came) == 2


async def test_nobody_there_is_unreachable(connected: Connect):
    async with connected(f"http://127.0.0.1:{free_port()}", deadline_s=0.4) as notify:
        with pytest.raises(Unreachable) as raised:
            await notify.send(to={"user": "42"})
    assert raised.value.retryable
    assert raised.value.status is None


@pytest.mark.parametrize(
    "step",
    [
        Answer(200, b"<html>welcome</html>", {"Content-Type": "text/html"}),
        Answer(202, {"id": 7}),
        Answer(202, []),
        Answer(404, b"<html>not here</html>", {"Content-Type": "text/html"}),
        Answer(301, None, {"Location": "https://elsewhere.example/"}),
    ],
    ids=["page", "other document", "list", "404 of another service", "redirect"],
)
async def test_another_service_is_unexpected(connected: Connect, step):
    with serving(step) as server:
        async with connected(server.url) as notify:
            with pytest.raises(Unexpected) as raised:
                await notify.send(to={"user": "42"})
    assert len(server.came) == 1
    assert not raised.value.retryable


async def test_the_public_port_is_unexpected(connected: Connect, cluster: Cluster):
    async with connected(cluster.nodes[0].url) as notify:
        with pytest.raises(Unexpected, match="internal port"):
            await notify.send(to={"user": "42"})


async def test_connections_are_kept_and_shared(connected: Connect):
    with serving() as server:
        async with connected(server.url) as notify:
            for _ in range(20):
                await notify.send(to={"user": "42"})
            assert server.connections == 1
            await asyncio.gather(*(notify.send(to={"user": "42"}) for _ in range(20)))
    assert server.connections <= 21
    assert len(server.came) == 40
