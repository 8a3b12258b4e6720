"""Pings, timeouts, and the one timer behind them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from notify.gateway.engineio.heartbeat import Heartbeat
from notify.gateway.engineio.timers import Wheel
from tests.gateway.edge import echoing_engine, running
from tests.gateway.loops import on_both_loops
from tests.support.waiting import until

FAST = {"ping_interval": 0.3, "ping_timeout": 0.2}


@on_both_loops
async def test_a_poller_is_pinged_again_and_again():
    async with running(echoing_engine(**FAST)) as edge:
        poller = await edge.open_polling()
        for _ in range(3):
            assert await poller.poll() == "2"
            assert await poller.post("3") == (200, "ok")


@on_both_loops
async def test_a_websocket_is_pinged_again_and_again():
    async with running(echoing_engine(**FAST)) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        for _ in range(3):
            assert await websocket.recv() == "2"
            await websocket.send("3")
        await websocket.close()


@on_both_loops
async def test_silent_peers_are_gone_within_interval_and_timeout():
    engine = echoing_engine(**FAST)
    async with running(engine) as edge:
        loop = asyncio.get_running_loop()
        poller, websocket = await edge.open_polling(), await edge.open_websocket()
        begun = loop.time()
        sockets = [weakref.ref(socket) for socket in engine.sockets.values()]
        await until(lambda: not engine.sockets)
        assert 0.3 < loop.time() - begun <= 0.5 + 0.1  # a busy machine wakes late
        assert engine.stats.closed == {"ping timeout": 2}
        assert await poller.gone()
        with pytest.raises(Exception, match="close frame"):
            while True:
                await websocket.recv()
        await until(lambda: gc.collect() is not None and not any(ref() for ref in sockets))


async def test_pongs_nobody_asked_for_do_not_keep_a_peer():
    engine = echoing_engine(**FAST)
    async with running(engine) as edge:
        websocket = await edge.open_websocket()
        await websocket.recv()
        await websocket.send("3")
        await websocket.send("3")
        assert await websocket.recv() == "2"
        await until(lambda: not engine.sockets)


@pytest.mark.parametrize(("interval_s", "timeout_s"), [(25, 20), (0.3, 0.2), (0.05, 5), (5, 0.05), (1, 60)])
async def test_the_deadline_is_never_past_interval_and_timeout(interval_s, timeout_s):
    """Whatever the two are, and wherever in a tick the connection begins."""

    class Peer:
        bucket: Any = None
        awaiting_pong = False

        def ping(self): ...

        def ping_timed_out(self): ...

    heartbeat, loop = Heartbeat(interval_s=interval_s, timeout_s=timeout_s), asyncio.get_running_loop()
    tick_s = heartbeat._wheel.tick_s
    assert tick_s <= min(0.25, interval_s / 8, timeout_s / 8) + 1e-9
    peer = Peer()
    before = loop.time()
    heartbeat.start(peer)
    pinged = peer.bucket.tick * tick_s
    assert before + interval_s - 2 * tick_s - 1e-6 <= pinged <= loop.time() + interval_s
    bucket = peer.bucket
    bucket.discard(peer)
    heartbeat._expire(peer)
    assert peer.awaiting_pong
    assert peer.bucket.tick * tick_s == pytest.approx(pinged + timeout_s)
    heartbeat.stop()


async def test_a_wheel_has_one_timer_for_everybody():
    expired: list[int] = []
    wheel: Wheel[int] = Wheel(expired.append, tick_s=0.01)
    buckets = [wheel.add(number, 0.05 + number % 7 * 0.01) for number in range(2000)]
    for number in range(0, 2000, 2):
        buckets[number].discard(number)
    await until(lambda: len(expired) == 1000)
    assert sorted(expired) == list(range(1, 2000, 2))
    assert len(wheel) == 0
    assert wheel._buckets == {}
    assert wheel._handle is None


async def test_what_expires_may_add_and_discard():
    expired: list[str] = []

    def expire(item: str) -> None:
        expired.append(item)
        if item == "first":
            later.discard("later")
            wheel.add("again", 0.0)

    wheel: Wheel[str] = Wheel(expire, tick_s=0.01)
    wheel.add("first", 0.02)
    later = wheel.add("later", 0.03)
    last = wheel.add("last", 0.06)
    await until(lambda: len(expired) == 3)
    assert expired == ["first", "again", "last"]
    assert not last
    wheel.stop()


class Peer:
    """A connection that counts its pings."""

    def __init__(self):
        self.bucket: Any = None
        self.awaiting_pong = False
        self.pings = self.ends = 0

    def ping(self):
        self.pings += 1

    def ping_timed_out(self):
        self.ends += 1


@pytest.mark.parametrize("awaiting_pong", [False, True])
async def test_a_connection_goes_on_elsewhere_where_it_was(awaiting_pong):
    there, here = Heartbeat(interval_s=25, timeout_s=20), Heartbeat(interval_s=0.4, timeout_s=0.4)
    peer = Peer()
    there.start(peer)
    peer.awaiting_pong = awaiting_pong
    beat = there.beat_of(peer)
    assert beat.awaiting_pong is awaiting_pong
    assert 24 < beat.left_s <= 25
    there.remove(peer)
    here.resume(peer, beat._replace(left_s=0.1))
    assert (peer.pings, peer.awaiting_pong) == (0, awaiting_pong)
    await until(lambda: peer.ends if awaiting_pong else peer.pings)
    here.resume(peer, beat)  # that node's intervals are longer than ours
    assert here.beat_of(peer).left_s <= 0.4
    there.stop()
    here.stop()


async def test_a_connection_of_which_nobody_knows_is_pinged_at_once():
    heartbeat, peer = Heartbeat(interval_s=25, timeout_s=20), Peer()
    heartbeat.resume(peer, None)
    assert (peer.pings, peer.awaiting_pong) == (1, True)
    assert 19 < heartbeat.beat_of(peer).left_s <= 20
    heartbeat.stop()
