"""A node's states only move forward; signals drain it, a second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from notify.ops.lifecycle import Lifecycle, State


async def test_states_move_forward_only_and_callbacks_see_each_once():
    lifecycle = Lifecycle()
    seen: list[State] = []
    lifecycle.on_change(seen.append)
    assert lifecycle.move(State.READY)
    assert not lifecycle.move(State.READY)
    assert lifecycle.move(State.DRAINING)
    assert not lifecycle.move(State.READY)
    assert lifecycle.move(State.STOPPED)
    assert seen == [State.READY, State.DRAINING, State.STOPPED]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_and_the_second_hurries(first: signal.Signals, second: signal.Signals):
    loop = asyncio.get_running_loop()
    lifecycle = Lifecycle()
    lifecycle.install(loop)
    try:
        os.kill(os.getpid(), first)
        await asyncio.wait_for(lifecycle.drain_wanted.wait(), 5)
        assert not lifecycle.hurry.is_set()
        os.kill(os.getpid(), second)
        await asyncio.wait_for(lifecycle.hurry.wait(), 5)
    finally:
        lifecycle.uninstall(loop)


async def test_a_wait_is_cut_short_by_a_hurry_only():
    lifecycle = Lifecycle()
    assert await lifecycle.sleep(0)
    assert await lifecycle.sleep(0.01)
    lifecycle.signalled()
    assert await lifecycle.sleep(0.01)
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.01, lifecycle.signalled)
    assert not await lifecycle.sleep(30)
    assert time.monotonic() - began < 5
    assert not await lifecycle.sleep(0)
