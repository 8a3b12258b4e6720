"""Bodies that are no good: the right status, no 500, and memory that stays flat."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable

import orjson
import psutil
import pytest

from notify.domain.errors import BadRequest, TooLarge, TooMany
from notify.ingest.http import body as body_module
from notify.ingest.http.body import MAX_CONTAINERS, MAX_VALUES, parse
from notify.ingest.stats import IngestStats
from tests.ingest.conftest import GOOD, KEY, MAX_PAYLOAD, Api, Recorder, running

HEAD = f"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
JSON = "Content-Type: application/json\r\n"


async def answer_to(api: Api, *pieces: bytes) -> tuple[int, bytes]:
    """Send the pieces over a bare connection; the status and the head of what comes back first."""
    async with api.raw() as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return int(head.split()[1]), head


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"to":{"user":"1"}',
        b'{"to":{"user":"1"}} x',
        b"[" * 4000,
        b"[" * 1025 + b"]" * 1025,
        b'{"a":' * 800,
        b'{"to":{"user":"1"},"ttl":NaN}',
        b'{"to":{"user":"1"},"ttl":Infinity}',
        b'{"to":{"user":"1"},"ttl":-Infinity}',
        b'{"to":{"user":"1"},"ttl":1e999}',
        b'{"to":{"user":"1"},"ttl":' + b"9" * 400 + b"}",
        b'{"to":{"user":"1"},"title":"\xff"}',
        b'{"to":{"user":"1"},"title":"\xed\xa0\x80"}',
        b'{"to":{"user":"1"},"title":"\\ud800"}',
        b'{"to":{"user":"1"},"title":"\\udc00\\ud800"}',
        '{"to":{"user":"1"}}'.encode("utf-16"),
        b'{"to":{"user":"1"},}',
        b"{'to':{'user':'1'}}",
        b'{"to":{"user":"1"},"title":"a\nb"}',
        b'{"to":{"user":"1"}} // x',
        b"\x00",
    ],
)
async def test_what_is_not_json_is_a_bad_request(api: Api, body: bytes):
    answer = await api.post(body)
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_hundred_thousand_brackets_are_a_bad_request(recorder: Recorder):
    async with running(recorder, max_payload=1_000_000) as api:
        for body in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 50_000 + b"]" * 50_000):
            assert (await api.post(body)).status == 400
            assert (await api.batch(b'{"notifications":' + body)).status == 400


async def test_nesting_that_can_be_read_but_not_written_is_refused_by_pointer(api: Api):
    body = b'{"to":{"user":"1"},"data":{"a":' + b"[" * 800 + b"]" * 800 + b"}}"
    answer = await api.post(body)
    assert (answer.status, answer.pointers) == (422, {"/data": "must not be nested deeper than 64 levels"})
    answer = await api.batch(b'{"notifications":[' + body + b"]}")
    assert (answer.status, answer.json["results"][0]["error"]["status"]) == (422, 422)


async def test_huge_integers_become_doubles(api: Api, recorder: Recorder):
    assert (await api.post(b'{"to":{"user":"1"},"data":{"n":123456789012345678901234567890}}')).status == 202
    assert recorder.seen[0].data == {"n": 1.2345678901234568e29}
    assert (await api.post(b'{"to":{"user":"1"},"ttl":123456789012345678901234567890}')).status == 422


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json; charset=utf-16",
    ],
)
async def test_other_media_types_are_not_supported(api: Api, content_type: str | None):
    answer = await api.post(GOOD, headers={"Content-Type": content_type})
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"]
)
async def test_json_may_be_called_so_in_several_ways(api: Api, content_type: str):
    assert (await api.post(GOOD, headers={"Content-Type": content_type})).status == 202


async def test_identity_is_no_encoding(api: Api):
    assert (await api.post(GOOD, headers={"Content-Encoding": "identity"})).status == 202


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, gzip", "identity, gzip", ""]
)
async def test_compressed_bodies_are_refused_unread(api: Api, recorder: Recorder, encoding: str):
    compress: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
    small = compress.get(encoding, bytes)(orjson.dumps(GOOD))
    answer = await api.post(small, headers={"Content-Encoding": encoding})
    assert answer.status == 415
    assert answer.headers["Accept-Encoding"] == "identity"
    assert recorder.seen == []


async def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(api: Api):
    head = f"{HEAD}{JSON}Content-Length: {MAX_PAYLOAD + 1}\r\n\r\n".encode()
    assert (await answer_to(api, head))[0] == 413


async def test_a_body_just_in_the_limit_is_read(api: Api):
    body = orjson.dumps(GOOD)
    assert (await api.post(body + b" " * (MAX_PAYLOAD - len(body)))).status == 202
    assert (await api.post(body + b" " * (MAX_PAYLOAD - len(body) + 1))).status == 413


async def in_pieces(total: int, piece: bytes) -> AsyncIterator[bytes]:
    for _ in range(total // len(piece)):
        yield piece


async def test_chunked_bodies_are_counted_while_they_come(api: Api):
    body = orjson.dumps(GOOD)
    assert (await api.post(in_pieces(len(body), body))).status == 202
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    head = f"{HEAD}{JSON}Transfer-Encoding: chunked\r\n\r\n".encode()
    # No end of the body is ever sent: the answer comes at the limit.
    assert (await answer_to(api, head, chunk, chunk))[0] == 413


async def test_malformed_chunks_are_a_bad_request(api: Api):
    head = f"{HEAD}{JSON}Transfer-Encoding: chunked\r\n\r\n".encode()
    assert (await answer_to(api, head + b'5\r\n{"to"\r\n', b"zz\r\n"))[0] == 400


async def test_without_a_key_nothing_is_read(api: Api):
    head = f"POST /v1/notifications HTTP/1.1\r\nHost: x\r\n{JSON}Content-Length: 10\r\n\r\n"
    status, answer = await answer_to(api, head.encode())
    assert status == 401
    assert b"WWW-Authenticate: Bearer" in answer


async def test_a_body_is_asked_for_only_when_it_is_wanted(api: Api):
    body = orjson.dumps(GOOD)
    expect = f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    async with api.raw() as (reader, writer):
        writer.write(f"{HEAD}{JSON}{expect}\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202")
    for head in (
        HEAD.replace(KEY, "wrong" * 9) + JSON + expect,
        HEAD + expect,
        HEAD.replace("POST", "PUT") + expect,
    ):
        status, answer = await answer_to(api, f"{head}\r\n".encode())
        assert status in {401, 415, 405}
        assert b"100 Continue" not in answer
    too_long = f"{HEAD}{JSON}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    assert (await answer_to(api, too_long.encode()))[0] == 413


async def test_a_body_that_does_not_come_is_given_up(recorder: Recorder):
    async with running(recorder, body_timeout_s=0.05) as api:
        assert (await answer_to(api, f"{HEAD}{JSON}Content-Length: 10\r\n\r\n".encode(), b"{"))[0] == 400


async def test_a_caller_that_goes_away_is_no_error(api: Api, caplog: pytest.LogCaptureFixture):
    async with api.raw() as (_, writer):
        writer.write(f"{HEAD}{JSON}Content-Length: 10\r\n\r\n{{".encode())
        await writer.drain()
    assert (await api.post(GOOD)).status == 202
    assert api.stats.errors == {}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_memory_for_large_bodies_is_shared_and_given_back():
    stats = IngestStats()
    reader = body_module.BodyReader(stats=stats, max_in_memory=300_000, timeout_s=1)
    with reader.hold() as first, reader.hold() as second:
        first.grow_to(200_000)
        first.grow_to(100_000)
        second.grow_to(60_000)  # small ones are not counted
        assert stats.bodies_in_memory == 200_000
        second.grow_to(90_000)
        with pytest.raises(TooMany):
            second.grow_to(200_000)
        assert stats.bodies_in_memory == 290_000
    assert stats.bodies_in_memory == 0


async def test_too_many_large_batches_at_once_are_told_to_come_again(recorder: Recorder):
    async with running(recorder, body_memory=150_000) as api:
        head = (
            HEAD.replace("notifications ", "notifications/batch ") + JSON + "Content-Length: 100000\r\n\r\n"
        )
        async with api.raw() as (_, writer):
            writer.write(head.encode())
            async with asyncio.timeout(30):
                while api.stats.bodies_in_memory == 0:
                    await asyncio.sleep(0)
            status, answer = await answer_to(api, head.encode())
            assert status == 429
            assert b"Retry-After: 1" in answer
        async with asyncio.timeout(30):
            while api.stats.bodies_in_memory:
                await asyncio.sleep(0)
        taken = await api.batch({"notifications": [{**GOOD, "body": "x" * 2000}] * 50})
        assert taken.status == 202
        assert api.stats.bodies_in_memory == 0


def test_bodies_that_would_blow_up_are_not_parsed():
    with pytest.raises(TooLarge):
        parse(b"[" + b"[]," * MAX_CONTAINERS + b"[]]")
    with pytest.raises(TooLarge):
        parse(b"[" + b"1," * MAX_VALUES + b"1,1]")
    assert len(parse(b"[" + b"1," * 99_000 + b"1]")) == 99_001
    with pytest.raises(BadRequest):
        parse(b"")


def hostile() -> list[tuple[bytes, dict[str, str]]]:
    """Bodies of some megabytes that are small on paper or large in memory."""
    size = 4_000_000
    return [
        (b"[" * size, {}),
        (b'{"notifications":[' + b"{}," * (size // 3) + b"{}]}", {}),
        (b'{"notifications":[' + b"1," * (size // 2) + b"1]}", {}),
        (b'{"notifications":[' + b'{"a":' * (size // 5), {}),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(150_000)) + b"}", {}),
        (b'{"notifications":[{"to":{"users":[' + b"1," * 400_000 + b"1]}}]}", {}),
        (b'{"notifications":["' + b"\\u00e9" * (size // 6) + b'"]}', {}),
        (b"\xff" * size, {}),
        (gzip.compress(b" " * 100_000_000), {"Content-Encoding": "gzip"}),
    ]


async def test_memory_stays_flat_under_hostile_bodies(api: Api):
    process = psutil.Process()
    bodies = hostile()

    async def round_of_all() -> int:
        for body, headers in bodies:
            for path in ("/v1/notifications", "/v1/notifications/batch"):
                answer = await api.post(body, path, headers=headers)
                assert answer.status in {400, 413, 415, 422}, answer.body[:200]
                assert len(answer.body) < 100_000
        return int(process.memory_info().rss)

    # Some rounds until the allocator has what it will ever need: each sends 50 MB, most of it JSON that
    # would be ten times as large when parsed.
    before = max([await round_of_all() for _ in range(3)])
    after = min([await round_of_all() for _ in range(5)])
    assert after - before < 25_000_000
    assert api.stats.bodies_in_memory == 0
    assert {status for _, status in api.stats.requests} <= {400, 413, 415, 422}
