"""How connections end: by us, by the peer, by faults of either, with and without goodbye."""

from __future__ import annotations

import asyncio
import gc

import pytest

from notify.gateway.engineio.transports.websocket import WebSocketProtocol
from notify.protocol.engineio import frame
from notify.protocol.websocket import FrameReader
from tests.gateway.client_frames import BINARY, CLOSE, PING, TEXT, client_frame, close, text
from tests.gateway.loops import on_both_loops
from tests.gateway.raw_client import RawClient
from tests.gateway.sites import Recorder, Site, serving

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def opened(site: Site) -> tuple[RawClient, Recorder]:
    client = await RawClient.open(site)
    return client, await site.owner()


async def stuff(client: RawClient, owner: Recorder) -> None:
    """Let the client stop reading, and write until the transport holds something it cannot send."""
    client.stop_reading()
    while not owner.pauses:
        owner.socket.write(frame(b"x" * 60_000))
        await asyncio.sleep(0)


# The peer closes


@pytest.mark.parametrize("code", [None, 1000, 1001, 3000, 4999])
@TLS
@on_both_loops
async def test_a_close_frame_is_answered_with_its_code_and_the_connection_ended(
    tls: bool, code: int | None
) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        client.send(text("last") + close(code, b"" if code is None else b"bye") + text("too late"))
        assert await client.closing() == (code or 1005)
        assert await client.rest() == b""
        await owner.until(owner.is_closed)
        assert owner.received == ["last"]
        assert owner.closed == [(code or 1005, True)]
        await client.leave()


@TLS
@on_both_loops
async def test_a_peer_that_closes_without_reading_does_not_hold_us(tls: bool) -> None:
    async with serving(tls=tls, close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        client.send(close(1000))
        await owner.until(owner.is_closed)
        assert owner.closed == [(1000, True)]
        await gone(owner.socket)
        await client.leave()


async def gone(protocol: WebSocketProtocol) -> None:
    """Until the transport has let go of its protocol."""
    async with asyncio.timeout(30):
        while protocol._timer is not None or protocol.buffered:
            await asyncio.sleep(0.005)


@on_both_loops
async def test_a_peer_that_ends_its_stream_without_reading_does_not_hold_us() -> None:
    async with serving(close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        client.writer.write_eof()
        await owner.until(owner.is_closed)
        assert owner.closed == [(1006, False)]
        await gone(owner.socket)
        await client.leave()


@TLS
@on_both_loops
async def test_a_peer_that_leaves_without_a_close_frame_is_lost(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        await client.leave()
        await owner.until(owner.is_closed)
        assert owner.closed == [(1006, False)]


@on_both_loops
async def test_a_peer_that_resets_the_connection_is_lost() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        client.reset()
        await owner.until(owner.is_closed)
        assert owner.closed == [(1006, False)]
        for _ in range(10):
            owner.socket.write(frame(b"to nobody"))
        owner.socket.close()
        owner.socket.abort()
        assert owner.closed == [(1006, False)]


@TLS
@on_both_loops
async def test_a_peer_that_resets_while_we_write_is_lost(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        client.reset()
        await owner.until(owner.is_closed)
        assert owner.closed == [(1006, False)]


# We close


@TLS
@on_both_loops
async def test_our_close_waits_for_the_answer_and_for_nothing_more(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        owner.socket.write(frame(b"before"))
        owner.socket.close(1001, "going away")
        owner.socket.close(1000)
        owner.socket.write(frame(b"after"))
        assert await client.frame() == (TEXT, b"before")
        assert await client.frame() == (CLOSE, b"\x03\xe9going away")
        client.send(text("crossed the close on its way") + client_frame(PING) + close(1001))
        assert await client.rest() == b"", "nothing after our close frame"
        await owner.until(owner.is_closed)
        assert owner.closed == [(1001, True)]
        assert owner.received == []
        await client.leave()


@on_both_loops
async def test_both_closing_at_once_is_clean() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        owner.on_text = lambda _: owner.socket.close(1012)
        client.send(text("x") + close(1000))
        assert await client.closing() == 1012
        assert await client.rest() == b""
        assert owner.closed == [(1012, True)]
        await client.leave()


@TLS
@on_both_loops
async def test_a_peer_that_does_not_answer_our_close_is_cut_off(tls: bool) -> None:
    async with serving(tls=tls, close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        owner.socket.close(1001)
        assert await client.closing() == 1001
        await owner.until(owner.is_closed)
        assert owner.closed == [(1001, False)]
        await client.leave()


@on_both_loops
async def test_a_peer_that_answers_our_close_by_leaving_is_not_clean() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        owner.socket.close(1001)
        assert await client.closing() == 1001
        await client.leave()
        await owner.until(owner.is_closed)
        assert owner.closed == [(1001, False)]


@TLS
@on_both_loops
async def test_a_peer_that_does_not_read_our_close_is_cut_off(tls: bool) -> None:
    async with serving(tls=tls, close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        owner.socket.close(1001)
        await owner.until(owner.is_closed)
        assert owner.closed == [(1001, False)]
        assert owner.pauses == [True], "no news of writing once closing has begun"
        await client.leave()


@on_both_loops
async def test_a_peer_that_talks_on_after_our_close_is_cut_off() -> None:
    async with serving(close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        owner.socket.close(1001)
        while not owner.closed:
            client.send(text("and another thing"))
            await asyncio.sleep(0.001)
        assert owner.closed == [(1001, False)]
        assert owner.received == []
        await client.leave()


@TLS
@on_both_loops
async def test_abort_drops_what_was_not_sent(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        owner.socket.abort()
        assert owner.closed == [], "in a later turn"
        owner.socket.write(frame(b"after"))
        await owner.until(owner.is_closed)
        assert owner.closed == [(1006, False)]
        await client.leave()


@on_both_loops
async def test_an_owner_that_aborts_hears_nothing_more() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        owner.on_text = lambda _: owner.socket.abort()
        client.send(text("one") + text("two") + client_frame(PING) + close(1000))
        await owner.until(owner.is_closed)
        assert (owner.received, owner.closed) == (["one"], [(1006, False)])
        await client.leave()


@on_both_loops
async def test_a_peer_that_catches_up_after_our_close_can_still_answer_it() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        owner.socket.close(1001)
        client.read_on()
        opcode = TEXT
        while opcode == TEXT:
            opcode, _ = await client.frame()
        client.send(close(1001))
        await owner.until(owner.is_closed)
        assert owner.closed == [(1001, True)]
        assert owner.pauses == [True], "no news of writing once closing has begun"
        await client.leave()


@on_both_loops
async def test_what_was_pushed_is_read_before_the_end_of_the_stream() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        owner.socket.push(text("early"))
        owner.socket.eof_received()  # as uvloop may do before it gets to what is to be done soon
        assert (owner.received, owner.closed) == (["early"], [(1006, False)])
        owner.socket.abort()
        await client.leave()


@TLS
@on_both_loops
async def test_the_answer_to_our_close_is_read_though_reading_was_paused(tls: bool) -> None:
    async with serving(tls=tls) as site:
        client, owner = await opened(site)
        owner.socket.pause_reading()
        client.send(text("never read"))
        owner.socket.close(1001)
        assert await client.closing() == 1001
        client.send(close(1001))
        await owner.until(owner.is_closed)
        assert (owner.received, owner.closed) == ([], [(1001, True)])
        await client.leave()


# Faults


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (client_frame(TEXT, b"x", reserved=4), 1002),
        (client_frame(TEXT, b"x", mask=None), 1002),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(BINARY, b"x" * 1001), 1009),
    ],
)
@on_both_loops
async def test_a_peer_that_breaks_a_rule_is_told_which_code(fault: bytes, code: int) -> None:
    async with serving(limit=1000) as site:
        client, owner = await opened(site)
        # What is unread when a server closes resets the connection: the code must get through all the same.
        client.send(text("fine") + fault + b"\x00" * 200_000)
        assert await client.closing() == code
        assert await client.rest() == b"", "the stream ends with the close frame"
        await owner.until(owner.is_closed)
        assert owner.received == ["fine"]
        assert owner.closed == [(code, False)]
        client.send(text("deaf now"))
        await client.leave()
        await gone(owner.socket)
        assert owner.received == ["fine"]


@TLS
@on_both_loops
async def test_a_peer_that_breaks_a_rule_and_stays_is_cut_off(tls: bool) -> None:
    async with serving(tls=tls, close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        client.send(client_frame(TEXT, b"x", mask=None))
        assert await client.closing() == 1002
        await owner.until(owner.is_closed)
        assert owner.closed == [(1002, False)]
        await gone(owner.socket)
        await client.leave()


@on_both_loops
async def test_a_peer_that_breaks_a_rule_in_answer_to_our_close_is_ended_at_once() -> None:
    async with serving(close_timeout_s=60) as site:
        client, owner = await opened(site)
        owner.socket.close(1001)
        client.send(client_frame(TEXT, b"x", mask=None))
        assert await client.closing() == 1001
        assert await client.rest() == b""
        await owner.until(owner.is_closed)
        assert owner.closed == [(1001, False)]
        await gone(owner.socket)
        await client.leave()


@on_both_loops
async def test_an_owner_that_raises_closes_with_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as site:
        client, owner = await opened(site)
        client.send(client_frame(BINARY, b"raise") + text("not heard any more"))
        assert await client.closing() == 1011
        client.send(close(1011))
        assert await client.rest() == b""
        await owner.until(owner.is_closed)
        assert owner.closed == [(1011, True)]
        assert owner.received == [b"raise"]
        await client.leave()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["asked for"]


class Clumsy(Recorder):
    """Raises where an owner should not."""

    def writing_paused(self) -> None:
        super().writing_paused()
        raise RuntimeError("paused")

    def connection_closed(self, code: int, clean: bool) -> None:
        super().connection_closed(code, clean)
        raise RuntimeError("closed")


@on_both_loops
async def test_an_owner_that_raises_anywhere_does_not_reach_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(owner=Clumsy, close_timeout_s=0.05) as site:
        client, owner = await opened(site)
        await stuff(client, owner)
        await owner.until(owner.is_closed)
        assert owner.closed == [(1011, False)]
        await client.leave()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["paused", "closed"]


@on_both_loops
async def test_a_code_that_must_not_be_sent_is_refused_and_leaves_the_connection_open() -> None:
    async with serving() as site:
        client, owner = await opened(site)
        with pytest.raises(ValueError, match="1006"):
            owner.socket.close(1006)
        client.send(text("echo open"))
        assert await client.frame() == (TEXT, b"echo open")
        await client.leave()


def living() -> list[object]:
    return [it for it in gc.get_objects() if isinstance(it, WebSocketProtocol | FrameReader)]


@TLS
@on_both_loops
async def test_a_closed_connection_leaves_nothing_behind_not_even_for_the_collector(tls: bool) -> None:
    gc.collect()
    before = living()
    async with serving(tls=tls) as site:
        for ending in (close(1000), client_frame(TEXT, b"x", mask=None), b""):
            client, owner = await opened(site)
            client.send(ending)
            if ending:
                await client.closing()
            await client.leave()
            await owner.until(owner.is_closed)
            await gone(owner.socket)
            assert owner.socket._owner is None
            owner.protocol = None
        del client
    # Also no timer that would keep one for a while: this one would run for a minute.
    assert [it for it in living() if not any(it is old for old in before)] == []
