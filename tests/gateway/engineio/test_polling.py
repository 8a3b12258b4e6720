"""Engine.IO v4: HTTP long-polling."""

from __future__ import annotations

import asyncio
import contextlib
import gzip

import aiohttp
import pytest

from notify.gateway.engineio.server import Engine
from tests.gateway.edge import echoing_engine, polling, running
from tests.gateway.loops import on_both_loops
from tests.support.waiting import until


@on_both_loops
async def test_packets_of_all_kinds_arrive_in_order():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        assert await poller.post("4hello") == (200, "ok")
        assert await poller.poll() == "4hello"
        assert await poller.post("4test1\x1e4test2\x1e4test3") == (200, "ok")
        assert await poller.poll() == "4test1\x1e4test2\x1e4test3"
        assert await poller.post("4hello\x1ebAQIDBA==") == (200, "ok")
        assert await poller.poll() == "4hello\x1ebAQIDBA=="


async def test_a_poll_waits_for_packets_and_takes_all_of_a_turn():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        poll = asyncio.create_task(poller.poll())
        await until(lambda: polling(engine, poller).waits)
        for number in range(5):
            await engine.send(poller.opened["sid"], f"m{number}")
        assert await poll == "\x1e".join(f"4m{number}" for number in range(5))


async def test_a_post_may_bring_any_number_of_packets():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        packets = [f"4message {number}" for number in range(500)]
        assert await poller.post("\x1e".join(packets)) == (200, "ok")
        received: list[str] = []
        while len(received) < len(packets):
            received += (await poller.poll()).split("\x1e")
        assert received == packets


@pytest.mark.parametrize(
    "body", ["abc", "", "4good\x1e", "7", "2", "b***", "bAQI", b"4\xff\xfe", "4ok\x1eabc", "\x1e"]
)
async def test_a_body_that_is_not_packets_closes_the_session(body):
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        status, _ = await poller.post(body)
        assert status == 400
        assert await poller.gone()
        assert engine.stats.protocol_errors == 1
        assert engine.stats.closed == {"transport error": 1}


async def test_version_4_has_no_binary_bodies():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        status, _ = await poller.post(b"4x", headers={"Content-Type": "application/octet-stream"})
        assert status == 400
        assert await poller.gone()


@on_both_loops
async def test_two_polls_at_once_close_the_session():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        first = asyncio.create_task(poller.get())
        await until(lambda: polling(engine, poller).waits)
        assert (await poller.get())[0] == 400
        assert await first == (200, "1")
        assert await poller.gone()


@on_both_loops
async def test_a_poll_that_the_client_gives_up_closes_the_session_at_once():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        async with aiohttp.ClientSession() as impatient:
            poll = asyncio.create_task(impatient.get(f"{edge.url}?{poller.query}"))
            await until(lambda: polling(engine, poller).waits)
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)
        await until(lambda: not engine.sockets)
        assert await poller.gone()
        assert engine.stats.closed == {"transport error": 1}


async def test_two_posts_at_once_close_the_session():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        gate = asyncio.Event()

        async def slowly():
            yield b"4first"
            await gate.wait()

        slow = asyncio.create_task(poller.post(slowly()))
        await until(lambda: polling(engine, poller)._posting)
        assert (await poller.post("4second"))[0] == 400
        gate.set()
        assert (await slow)[0] == 400
        assert await poller.gone()


async def test_a_post_that_breaks_off_closes_the_session():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        _, writer = await asyncio.open_connection(*edge.address)
        head = f"POST /engine.io/?{poller.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode() + b"4half")
        await until(lambda: polling(engine, poller)._posting)
        writer.close()
        await writer.wait_closed()
        await until(lambda: not engine.sockets)


@on_both_loops
async def test_a_body_past_the_limit_is_refused_and_the_session_goes_on():
    async with running(echoing_engine(max_http_buffer_size=1000)) as edge:
        poller = await edge.open_polling()
        assert poller.opened["maxPayload"] == 1000
        assert (await poller.post("4" + "x" * 1000))[0] == 413

        async def chunks():  # no Content-Length
            for _ in range(3):
                yield b"4" + b"y" * 400

        with contextlib.suppress(aiohttp.ClientError):  # the server does not wait for the rest
            assert (await poller.post(chunks()))[0] == 413
        assert await poller.post("4" + "z" * 999) == (200, "ok")
        assert await poller.poll() == "4" + "z" * 999


async def test_a_large_body_is_compressed_for_who_takes_it():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        text = "4" + "compress me " * 1000
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            for accepted in ("gzip, deflate", "identity"):
                await poller.post(text)
                headers = {"Accept-Encoding": accepted}
                async with session.get(f"{edge.url}?{poller.query}", headers=headers) as response:
                    body = await response.read()
                    compressed = response.headers.get("Content-Encoding") == "gzip"
                    assert compressed == (accepted != "identity")
                    assert (gzip.decompress(body) if compressed else body).decode() == text
                    assert response.headers["Cache-Control"] == "no-store"


async def test_compression_can_be_turned_off():
    async with running(echoing_engine(http_compression=False)) as edge:
        poller = await edge.open_polling()
        await poller.post("4" + "x" * 5000)
        status, headers = await edge.headers("GET", poller.query, headers={"Accept-Encoding": "gzip"})
        assert status == 200
        assert "Content-Encoding" not in headers


# -- closing -------------------------------------------------------------------------------------------


@on_both_loops
async def test_the_client_closes_and_its_poll_ends():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        poll = asyncio.create_task(poller.get())
        await until(lambda: polling(engine, poller).waits)
        assert await poller.post("1") == (200, "ok")
        assert await poll == (200, "6")
        assert await poller.gone()
        assert engine.stats.closed == {"client disconnect": 1}


async def test_a_poll_overtaken_by_the_close_still_ends_well():
    async with running(echoing_engine()) as edge:
        poller = await edge.open_polling()
        assert await poller.post("1") == (200, "ok")
        assert await poller.get() == (200, "6")
        assert await poller.gone()


async def test_the_server_closes_and_the_last_packets_still_arrive():
    engine = echoing_engine()
    async with running(engine) as edge:
        waiting, absent = await edge.open_polling(), await edge.open_polling()
        poll = asyncio.create_task(waiting.get())
        await until(lambda: polling(engine, waiting).waits)
        for poller in (waiting, absent):
            await engine.send(poller.opened["sid"], "last words")
            await engine.disconnect(poller.opened["sid"])
        assert await poll == (200, "4last words")
        await until(lambda: not engine.sockets)
        assert await absent.get() == (200, "4last words")
        for poller in (waiting, absent):
            assert await poller.get() == (200, "1")
        assert await waiting.gone()
        assert await absent.gone()
        assert engine.stats.closed == {"server disconnect": 2}


async def test_last_words_are_not_kept_for_ever():
    engine = Engine(ping_timeout=0.05)
    async with running(engine) as edge:
        poller = await edge.open_polling()
        await engine.disconnect(poller.opened["sid"])
        assert engine.last_polls
        await until(lambda: not engine.last_polls)


async def test_shutting_down_ends_waiting_polls_at_once():
    engine = echoing_engine()
    async with running(engine) as edge:
        poller = await edge.open_polling()
        poll = asyncio.create_task(poller.get())
        await until(lambda: polling(engine, poller).waits)
        await engine.shutdown()
        assert await poll == (400, '{"code":1,"message":"Session ID unknown"}')
        assert (await edge.request("GET", "EIO=4&transport=polling"))[0] == 503


async def test_a_handler_that_aiohttp_cancels_leaves_nothing():
    engine = echoing_engine()
    async with running(engine, handler_cancellation=True) as edge:
        poller = await edge.open_polling()
        async with aiohttp.ClientSession() as impatient:
            poll = asyncio.create_task(impatient.get(f"{edge.url}?{poller.query}"))
            await until(lambda: polling(engine, poller).waits)
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)
        await until(lambda: not engine.sockets)
