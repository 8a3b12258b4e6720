"""Cuts: both nodes hear them at the same place of what is published."""

from __future__ import annotations

import asyncio

from notify.backplane.cuts import Cuts
from tests.backplane.conftest import titles, to_room
from tests.support.waiting import until


async def test_two_nodes_hear_a_cut_at_the_same_place(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        before, behind = await a.member("ada", "lobby"), await b.member("ada", "lobby")
        from_a: list[int] = []
        from_b: list[int] = []

        async def publish(name: str) -> None:
            for number in range(100):
                await a.publisher.publish(to_room(f"{name}{number}"))

        load = asyncio.gather(publish("x"), publish("y"))
        for number in range(10):
            a.subscriber.cuts.expect(f"{number}", lambda: from_a.append(len(before.packets)))
            b.subscriber.cuts.expect(f"{number}", lambda: from_b.append(len(behind.packets)))
            await a.log.cut(["notify:node:a", "notify:node:b"], f"{number}")
        await load
        await until(lambda: len(before.packets) == len(behind.packets) == 200)
        assert titles(before) == titles(behind)
        assert from_a == from_b
        assert len(from_a) == 10


async def test_a_cut_is_not_heard_where_it_is_not_meant_nor_while_messages_are_held(side, valkey):
    async with side(valkey.url, "a") as a:
        heard: list[str] = []
        for token in ("elsewhere", "held", "here"):
            a.subscriber.cuts.expect(token, lambda token=token: heard.append(token))
        await a.log.cut(["notify:socketio"], "elsewhere")
        a.subscriber._held = []
        a.subscriber._hear(b"notify:node:a", b"cut held")
        a.subscriber._held = None
        await a.log.cut(["notify:node:a"], "here")
        await until(lambda: heard)
        assert heard == ["here"]


def test_a_cut_that_nobody_waits_for_is_ignored():
    cuts, heard = Cuts(), []
    cuts.expect("one", lambda: heard.append("one"))
    cuts.expect("two", lambda: heard.append("two"))
    cuts.forget("two")
    for token in (b"cut two", b"cut three", b"cut one", b"cut one"):
        cuts.hear(token)
    assert heard == ["one"]
    assert not len(cuts)
