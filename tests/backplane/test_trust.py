"""What others may publish where nodes listen, and how little of it is believed."""

from __future__ import annotations

import json

import pytest

from notify.backplane.acknowledgements import NOBODYS_ACK
from tests.backplane.conftest import EncodingServer, held_away, titles, to_user
from tests.support.waiting import until


async def test_a_forged_offset_moves_neither_the_node_nor_the_clock(side, valkey):
    async with side(valkey.url, "a") as a:
        ada, bo = await a.member("ada"), await a.member("bo")
        await a.publisher.publish(to_user("before"))
        await until(lambda: ada.packets)
        forged = f"{a.subscriber.last_seen.epoch}-999999999999999-0"
        with valkey.client() as client:
            client.publish("notify:topic:user:/:bo", f'{forged} - -\n["forged",{{}},"{forged}"]')
        await until(lambda: bo.packets)
        async with held_away(a, valkey):
            await a.publisher.publish(to_user("missed"))
        await until(lambda: len(ada.packets) == 2)
        with valkey.client() as client:
            _, ms, _ = client.get("notify:clock").decode().split("-")
            seconds, _ = client.time()
        assert int(ms) < (seconds + 60) * 1000
        await a.publisher.publish(to_user("after"))
        await until(lambda: len(ada.packets) == 3)
        assert titles(ada) == ["before", "missed", "after"]
        assert a.gaps == []


async def test_a_clock_behind_what_a_node_has_heard_is_moved_on_but_not_far(side, valkey):
    """As after a failover to a replica that lagged."""
    async with side(valkey.url, "a") as a:
        await a.member("ada")
        await a.publisher.publish(to_user("before"))
        heard = a.subscriber._position.latest
        with valkey.client() as client:
            client.set("notify:clock", f"{heard.epoch}-5-0")
            seconds, _ = client.time()
        near, far = (heard._replace(ms=seconds * 1000 + ahead_ms) for ahead_ms in (50_000, 70_000))
        options = {"heard_ms": seconds * 1000, "window_ms": 60_000}
        moved = await a.log.catch_up([], reached=near, **options)
        assert (moved.verdict, moved.clock) == ("ok", near)
        refused = await a.log.catch_up([], reached=far, **options)
        assert (refused.verdict, refused.clock) == ("future", near)
        assert await a.log.clock() == near


async def test_a_forged_epoch_is_not_believed(side, valkey):
    async with side(valkey.url, "a") as a:
        ada = await a.member("ada")
        with valkey.client() as client:
            client.publish("notify:topic:user:/:ada", 'zzz-5-0 - -\n["forged",{},"zzz-5-0"]')
            # nor does a canary of somebody else's make it so
            client.publish("notify:node:a", "canary 1:1:1 zzz-6-0 5")
        await until(lambda: ada.packets and a.stats.malformed["canary"])
        epoch = a.subscriber.last_seen.epoch
        await a.publisher.publish(to_user("after"))
        await until(lambda: len(ada.packets) == 2)
        assert (a.subscriber.last_seen.epoch, a.gaps, a.stats.epochs) == (epoch, [], 0)


DEEP = "[" * 500 + "]" * 500
CARGOES = {
    "emit nested 500 deep": '{"method":"emit","event":"x","data":[' + DEEP + '],"namespace":"/"}',
    "200 KB of brackets": "[" * 200_000,
    "200 KB of brackets in an emit": '{"method":"emit","event":"x","data":' + "[" * 200_000,
    "a method that is nested": '{"method":' + DEEP + "}",
    "a room that is nested": '{"method":"emit","event":"x","data":[],"room":' + DEEP + "}",
    "a question that is nested": '{"method":"notify:ask","id":"1","node":"a","question":"q","asked":{"a":'
    + DEEP
    + "}}",
    "users left out, nested": "e-1-0 - - " + "[" * 200_000 + '\n["x","e-1-0"]',
    "users left out, nested less": "e-1-0 - - " + DEEP + '\n["x","e-1-0"]',
    "more than may be": "x" * 2_000_000,
}
UNDERSTOOD = {
    ("a question that is nested", "notify:node:a"),
    ("a question that is nested", "notify:socketio"),
    ("a room that is nested", "notify:socketio"),
    ("a room that is nested", "socketio"),
}
"""What is merely for nobody."""


@pytest.mark.parametrize("cargo", CARGOES)
@pytest.mark.parametrize("topic", ["notify:topic:user:/:ada", "notify:node:a", "notify:socketio", "socketio"])
async def test_what_no_one_can_carry_is_counted_and_costs_nobody_else_anything(side, valkey, topic, cargo):
    async with side(valkey.url, "a", max_message_bytes=1_000_000) as a:
        a.manager.set_server(EncodingServer())
        ada = await a.member("ada")
        connection = a.subscriber._connection
        with valkey.client() as client:
            client.publish(topic, CARGOES[cargo])
        await a.publisher.publish(to_user("after"))
        await until(lambda: ada.packets)
        assert titles(ada) == ["after"]
        assert a.subscriber._connection is connection
        assert not connection.lost.done()
        if (cargo, topic) not in UNDERSTOOD:
            assert sum(a.stats.malformed.values()) == 1


def release(**more) -> bytes:
    return json.dumps({"method": "notify:take", "socket": "s", "namespace": "/", **more}).encode()


async def test_nodes_obey_each_other_on_topics_under_the_prefix_only(side, valkey):
    async with side(valkey.url, "a") as a:
        with valkey.client() as client:
            client.publish("socketio", release(v=1, socket="plain"))
            client.publish("notify:socketio", release(socket="for all"))
            client.publish("notify:node:a", release(socket="for this one"))
        await until(lambda: len(a.commands) == 2)
        assert [command.socket for command in a.commands] == ["for all", "for this one"]
        assert a.stats.malformed["socketio"] == 1


async def test_an_emit_is_what_was_emitted_and_leaves_the_offset_of_clients_alone(side, valkey):
    import socketio

    async with side(valkey.url, "a") as a:
        a.manager.set_server(EncodingServer())
        recovers, does_not = await a.member("ada", "lobby"), await a.member("bo", "lobby")
        (member,) = does_not.members
        member.variant = member.variant._replace(with_offset=False)
        outside = socketio.AsyncRedisManager(valkey.tcp_url, channel="notify:socketio", write_only=True)
        try:
            await outside.emit("x", None, room="lobby")
            await outside.emit("chat", "hello", room="lobby")
            await outside.emit("chat", ("a", "b"), room="lobby")
            await outside.emit("chat", ("a", 7), room="lobby")
            await outside.emit("list", ["a"], room="lobby")
            await outside.emit("nothing", (), room="lobby")
            await until(lambda: len(recovers.packets) == len(does_not.packets) == 6)
        finally:
            await outside.redis.aclose()
        bodies = [
            '["x"]',
            '["chat","hello"]',
            '["chat","a","b"]',
            '["chat","a",7]',
            '["list",["a"]]',
            '["nothing"]',
        ]
        assert does_not.packets == [f"42{body}".encode() for body in bodies]
        # The stock client takes a string at the end for its offset, unless the event asks for an ack.
        ack = str(NOBODYS_ACK)
        assert recovers.packets == [
            f"42{ack if body.endswith(chr(34) + ']') else ''}{body}".encode() for body in bodies
        ]


async def test_an_acknowledgement_that_nobody_waits_for_is_passed_over(side, valkey):
    async with side(valkey.url, "a") as a:
        a.manager.set_server(EncodingServer())
        ada = await a.member("ada")
        (member,) = ada.members
        got = []
        a.manager.emit_local("ask", "?", "/", member.sid, callback=lambda *args: got.append(args))
        for sid, ack_id in ((member.sid, 0), (member.sid, 2), (member.sid, NOBODYS_ACK), ("nobody", 1)):
            await a.manager.trigger_callback(sid, ack_id, [])
        assert got == []
        await a.manager.trigger_callback(member.sid, 1, ["yes"])
        assert got == [("yes",)]
        a.manager.emit_local("ask", "?", "/", member.sid, callback=lambda *args: got.append(args))
        assert ada.packets == [b'421["ask","?"]', b'422["ask","?"]']
