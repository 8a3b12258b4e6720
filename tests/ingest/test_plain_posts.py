"""What is answered without aiohttp is answered as the route answers it, and only what is plain is."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest

from notify.domain.errors import NotifyError, Unavailable
from notify.redis.client import Redis
from tests.ingest.conftest import GOOD, KEY, MAX_PAYLOAD, Api, Recorder, running
from tests.support.valkey import Valkey

HEADERS = {
    "Host": "x",
    "Content-Type": "application/json",
    "Authorization": f"Bearer {KEY}",
    "X-Request-Id": "req-of-the-caller",
}


def request(
    body: Any = GOOD, *, line: str = "POST /v1/notifications HTTP/1.1", more: str = "", **headers: str | None
) -> bytes:
    payload = body if isinstance(body, bytes) else orjson.dumps(body)
    sent: dict[str, str | None] = {**HEADERS, "Content-Length": str(len(payload))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in sent.items() if value is not None]
    return f"{line}\r\n{''.join(lines)}{more}\r\n".encode("latin-1") + payload


PLAIN: dict[str, bytes] = {
    "as it mostly is": request(),
    "ephemeral": request({"to": {"room": "lobby"}, "title": "x", "ttl": 0}),
    "to several": request({"to": {"users": ["a", "b"], "rooms": ["c"]}, "title": "x", "inbox": True}),
    "names in other letters": request(
        authorization=f"bearer {KEY}", Authorization=None, connection="Keep-Alive"
    ),
    "with what means nothing here": request(Accept="*/*", User_Agent="x/1", traceparent="00-ab-cd-01"),
}
NOT_PLAIN: dict[str, bytes] = {
    "no key": request(Authorization=None),
    "wrong key": request(Authorization="Bearer another-key-of-no-use"),
    "another scheme": request(Authorization=f"Basic {KEY}"),
    "no JSON": request(b"{"),
    "nothing": request(b""),
    "a fault": request({"to": {"user": 5}}),
    "unknown field": request({**GOOD, "colour": "red"}),
    "later": request({**GOOD, "deliver_at": "2999-01-01T00:00:00Z"}),
    "too large": request({**GOOD, "body": "x" * MAX_PAYLOAD}),
    "idempotency key": request(Idempotency_Key="k"),
    "two idempotency keys": request(more="Idempotency-Key: a\r\nIdempotency-Key: b\r\n"),
    "another type": request(Content_Type="text/plain"),
    "type with a charset": request(Content_Type="application/json; charset=utf-8"),
    "compressed": request(Content_Encoding="gzip"),
    "chunked": request(Content_Length=None, Transfer_Encoding="chunked")[: -len(orjson.dumps(GOOD))]
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(orjson.dumps(GOOD)), orjson.dumps(GOOD)),
    "length and chunked": request(Transfer_Encoding="chunked"),
    "two lengths": request(more="Content-Length: 1\r\n"),
    "a length with a sign": request(Content_Length=f"+{len(orjson.dumps(GOOD))}"),
    "two keys": request(more=f"Authorization: Bearer {KEY}\r\n"),
    "folded": request(more="X-Folded: a\r\n b\r\n"),
    "a space before the colon": request(more="X-Odd : a\r\n"),
    "another method": request(line="PUT /v1/notifications HTTP/1.1"),
    "another path": request(line="POST /v1/notifications/ HTTP/1.1"),
    "a query": request(line="POST /v1/notifications?x=1 HTTP/1.1"),
    "the last one": request(connection="close"),
    "HTTP/1.0": request(line="POST /v1/notifications HTTP/1.0"),
    "two ids": request(more="X-Request-Id: other\r\n"),
}


async def ask(api: Api, *pieces: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers, body; without what differs from time to time."""
    async with api.raw() as (reader, writer):
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.01)  # so that they come apart as a rule; the answer is the same if not
            writer.write(piece)
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            status, *lines = head.split(b"\r\n")[:-2]
            headers = dict(line.split(b": ", 1) for line in lines)
            assert len(headers) == len(lines), "no header comes twice"
            body = await reader.readexactly(int(headers[b"Content-Length"]))
    headers.pop(b"Date", None)
    if headers[b"X-Request-Id"] != b"req-of-the-caller":  # made by the node
        headers[b"X-Request-Id"] = b""
    return status, headers, re.sub(rb"ntf_\w+", b"ntf", body)


@pytest.mark.parametrize("name", [*PLAIN, *NOT_PLAIN])
async def test_the_answer_is_that_of_the_route(name: str):
    data = (PLAIN | NOT_PLAIN)[name]
    one, other = Recorder(), Recorder()
    async with running(one) as short, running(other, short=False) as long:
        assert await ask(short, data) == await ask(long, data)
        assert one.traces == (["req-of-the-caller"] if name in PLAIN else [])
        assert other.traces == []
        assert one.seen == other.seen
        assert short.stats.requests == long.stats.requests
        assert short.stats.errors == long.stats.errors
        assert short.stats.refused == long.stats.refused
        assert short.stats.body_bytes == long.stats.body_bytes


@pytest.mark.parametrize(
    "error", [Unavailable("Redis is away", retry_after_s=3), NotifyError("odd")], ids=str
)
async def test_what_the_store_refuses_is_told_as_the_route_tells_it(error: NotifyError):
    one, other = Recorder(error=error), Recorder(error=error)
    async with running(one) as short, running(other, short=False) as long:
        assert await ask(short, request()) == await ask(long, request())
        assert len(one.traces) == 1
        assert short.stats.errors == long.stats.errors == {error.code: 1}
        assert short.stats.refused == long.stats.refused


async def test_a_connection_may_change_between_plain_posts_and_others(api: Api, recorder: Recorder):
    both = [request(), request(Idempotency_Key="k"), request(), request() + request(), request()]
    async with api.raw() as (reader, writer), asyncio.timeout(30):
        for sent in both:
            writer.write(sent)
            for _ in range(sent.count(b"POST ")):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 202 ")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
    assert (len(recorder.seen), len(recorder.traces)) == (6, 3)


@pytest.mark.parametrize("name", [*PLAIN, *NOT_PLAIN])
async def test_a_post_in_two_pieces_is_answered_as_the_route_answers_it(name: str):
    data = (PLAIN | NOT_PLAIN)[name]
    begin = data.index(b"\r\n\r\n") + 4
    one, other = Recorder(), Recorder()
    async with running(one) as short, running(other, short=False) as long:
        assert await ask(short, data[:begin], data[begin:]) == await ask(long, data)
        assert len(one.traces) == (name in PLAIN)
        assert one.seen == other.seen
        assert short.stats.requests == long.stats.requests
        assert short.stats.refused == long.stats.refused


async def test_redis_may_have_forgotten_the_script(redis: Redis, real_api: Api, valkey: Valkey):
    with valkey.client() as client:
        client.script_flush()
        assert (await real_api.post({"to": {"user": "forgetful"}, "title": "x"})).status == 202
        assert client.xlen("t:log:user:/:forgetful") == 1


async def test_what_is_due_in_an_inbox_is_swept_first(real_api: Api, valkey: Valkey):
    """More than one call of the script may sweep: the first answers with a list."""
    both = {"to": {"users": ["ada", "bob"]}}
    many = {"notifications": [{**both, "title": "old", "ttl": 1}] * 100}
    assert (await real_api.batch(many)).status == 202
    with valkey.client() as client:  # its clock cannot be moved
        due = client.time()[0] + 2
        while client.time()[0] < due:
            await asyncio.sleep(0.02)
    assert (await real_api.post({**both, "title": "new"})).status == 202
    for user in both["to"]["users"]:
        inbox = (await real_api.ask("GET", f"/v1/users/{user}/inbox")).body
        assert (inbox.count(b'"old"'), inbox.count(b'"new"')) == (0, 1)
