"""Nothing lost, doubled or out of order between a publisher and a node, whatever happens in between."""

from __future__ import annotations

import asyncio
import json

import pytest

from notify.backplane import canary
from notify.backplane.subscriber import MOST_GATHERED
from notify.domain.errors import NotifyError, Unavailable
from notify.domain.notifications.notification import Notification, Target
from notify.service.publish import Idempotency
from tests.backplane.conftest import EncodingServer, offsets, subscribe_by, titles, to_room, to_user
from tests.support.waiting import until


async def test_a_notification_reaches_the_members_of_its_channel_on_every_node(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        here, there, other = await a.member("ada"), await b.member("ada"), await b.member("bo")
        await a.publisher.publish(to_user("hello"))
        await until(lambda: here.packets and there.packets)
        assert titles(here) == titles(there) == ["hello"]
        assert other.packets == []


async def test_a_node_is_subscribed_to_the_channels_of_its_own_sockets_only(side, valkey):
    def channels() -> set[str]:
        with valkey.client() as client:
            return {name.decode() for name in client.pubsub_channels("notify:topic:*")}

    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        ear = await a.member("ada", "lobby")
        assert channels() == {
            "notify:topic:all:/:",
            "notify:topic:user:/:ada",
            "notify:topic:room:/:lobby",
        }
        before = b.stats.messages
        for number in range(20):
            await b.publisher.publish(to_room(str(number)))
        await until(lambda: len(ear.packets) == 20)
        assert b.stats.messages == before  # a busy room costs a foreign node nothing
        a.manager.expel(ear.members[0])
        await until(lambda: not channels())


async def test_channels_are_subscribed_to_together_while_others_are_known_to_come(side, valkey):
    def subscribes() -> int:
        with valkey.client() as client:
            return int(client.info("commandstats").get("cmdstat_subscribe", {}).get("calls", 0))

    def topics() -> int:
        with valkey.client() as client:
            return len(client.pubsub_channels("notify:topic:*"))

    async with side(valkey.url, "a") as a:
        await a.member("ada")
        before = subscribes()
        coming = 5
        a.subscriber.more_come = lambda: coming > 0
        members = []
        while coming:  # one in each turn of the loop
            members.append(asyncio.ensure_future(a.member(f"user-{coming}", "lobby")))
            await asyncio.sleep(0)
            coming -= 1
        await asyncio.gather(*members)
        assert (topics(), subscribes() - before) == (8, 1)  # of all, of six users, of a room


async def test_a_crowd_that_does_not_end_keeps_no_channel_waiting(side, valkey):
    async with side(valkey.url, "a") as a:
        a.subscriber.more_come = lambda: True
        async with asyncio.timeout(30):
            await asyncio.gather(*(a.member(f"user-{number}") for number in range(MOST_GATHERED)))


async def test_every_client_sees_the_same_order_whichever_node_published(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b, side(valkey.url, "c") as c:
        ears = [await each.member(f"user-{each.name}", "lobby") for each in (a, b, c)]

        async def publish(from_side, name):
            for number in range(100):
                await from_side.publisher.publish(to_room(f"{name}{number}"))

        await asyncio.gather(publish(a, "a"), publish(b, "b"))
        await until(lambda: all(len(ear.packets) == 200 for ear in ears))
        assert titles(ears[0]) == titles(ears[1]) == titles(ears[2])
        assert offsets(ears[0]) == sorted(set(offsets(ears[0])))


async def test_a_member_of_two_of_its_channels_sees_a_notification_once(side, valkey):
    async with side(valkey.url, "a") as a:
        ear = await a.member("ada", "lobby", "ops")
        target = Target(users=("ada", "bo"), rooms=("lobby", "ops"), all=True)
        await a.publisher.publish(Notification(target, title="once"))
        await a.publisher.publish(to_user("after"))
        await until(lambda: len(ear.packets) >= 2)
        assert titles(ear) == ["once", "after"]


async def test_what_was_missed_tells_a_user_of_their_inbox_whatever_room_they_share(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        await a.member("bo", "lobby")  # so that the room is older here than the user's channel
        ear = await a.member("ada", "lobby")
        with valkey.client() as client:
            for number in range(100):
                if number % 20 == 10:
                    client.client_kill_filter(_type="pubsub")
                target = Target(users=("ada",), rooms=("lobby",))
                await b.publisher.publish(Notification(target, title=str(number)))
        await until(lambda: len(ear.packets) >= 100)
        assert titles(ear) == [str(number) for number in range(100)]
        assert a.stats.gap_messages >= 1
        assert all(b'"inbox":{' in packet for packet in ear.packets)


async def test_users_left_out_hear_nothing(side, valkey):
    async with side(valkey.url, "a") as a:
        ada, bo = await a.member("ada", "lobby"), await a.member("bo", "lobby")
        target = Target(rooms=("lobby",), except_users=frozenset({"bo"}))
        await a.publisher.publish(Notification(target, title="not for bo"))
        await a.publisher.publish(to_room("for all"))
        await until(lambda: len(ada.packets) == 2 and bo.packets)
        assert titles(ada) == ["not for bo", "for all"]
        assert titles(bo) == ["for all"]


async def test_a_cut_connection_loses_doubles_and_reorders_nothing(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        ears = [await a.member("ada", "lobby"), await a.member("bo", "lobby")]
        with valkey.client() as client:
            for number in range(400):
                await b.publisher.publish(to_room(str(number)))
                if number % 40 == 20:
                    client.client_kill_filter(_type="pubsub")
        await until(lambda: all(len(ear.packets) >= 400 for ear in ears))
        for ear in ears:
            assert titles(ear) == [str(number) for number in range(400)]
        assert a.stats.resubscriptions >= 1
        assert a.stats.gap_messages >= 1
        assert a.gaps == []


async def test_a_restarted_redis_loses_nothing_that_was_accepted(side, own_valkey):
    async with side(own_valkey.url, "a") as a, side(own_valkey.url, "b") as b:
        ear = await a.member("ada")
        accepted = []

        async def publish():
            for number in range(150):
                try:
                    await b.publisher.publish(to_user(str(number)))
                    accepted.append(str(number))
                except Unavailable:
                    pass
                await asyncio.sleep(0.01)

        publishing = asyncio.create_task(publish())
        # What a killed process has written is the kernel's: nobody waits for the disk here.
        await until(lambda: len(accepted) >= 60)
        own_valkey.kill()
        await own_valkey.astart()
        await publishing
        await until(lambda: set(accepted) <= set(titles(ear)))
        seen = titles(ear)
        assert len(seen) == len(set(seen))
        assert offsets(ear) == sorted(offsets(ear))
        assert len(accepted) > 50
        assert a.gaps == []


async def test_lost_data_is_told_and_not_passed_over(side, own_valkey):
    async with side(own_valkey.url, "a") as a:
        await a.member("ada")
        await a.publisher.publish(to_user("before"))
        own_valkey.flush()
        with own_valkey.client() as client:
            client.client_kill_filter(_type="pubsub")
        await a.publisher.publish(to_user("in another epoch"))
        await until(lambda: a.gaps)
        channels, _ = a.gaps[0]
        assert any(channel.name == "ada" for channel in channels)
        assert a.stats.epochs == 1


async def test_data_lost_while_connected_is_told_at_the_next_message(side, own_valkey):
    async with side(own_valkey.url, "a") as a:
        ear = await a.member("ada")
        await a.publisher.publish(to_user("before"))
        await until(lambda: ear.packets)
        own_valkey.flush()
        await a.publisher.publish(to_user("in another epoch"))
        await until(lambda: a.gaps)
        ((channels, reason),) = a.gaps
        assert {channel.kind for channel in channels} == {"all", "user"}
        assert reason == "epoch"
        assert a.stats.epochs == 1


async def test_a_connection_lost_again_while_catching_up_is_not_waited_for(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        ear = await a.member("ada")
        await b.publisher.publish(to_user("0"))
        await until(lambda: len(ear.packets) == 1)
        echo = a.log.echo
        cut: list[bool] = []

        async def cut_first(topic, token):
            if not cut:
                cut.append(token)
                a.subscriber._connection.abort()
            await echo(topic, token)

        a.subscriber._store.echo = cut_first
        a.subscriber._connection.abort()
        await until(lambda: cut)
        await b.publisher.publish(to_user("1"))
        await until(lambda: len(ear.packets) == 2, within_s=3)  # the barrier alone would wait for 5 s
        assert titles(ear) == ["0", "1"]


async def test_a_log_that_does_not_reach_back_is_told(side, valkey):
    async with side(valkey.url, "a", max_messages=10) as a, side(valkey.url, "b", max_messages=10) as b:
        await a.member("ada", "lobby")
        ear = await a.member("bo")
        await b.publisher.publish(to_room("seen"))
        with valkey.client() as client:
            # Hold the node away from Redis for as long as it takes to overrun the log.
            held = asyncio.Event()
            original = a.subscriber._connector.open

            async def away(protocol):
                if not held.is_set():
                    raise Unavailable("held away by the test")
                return await original(protocol)

            a.subscriber._connector = type("Away", (), {"open": staticmethod(away)})()
            client.client_kill_filter(_type="pubsub")
            await until(lambda: not a.subscriber.connected)
            for number in range(500):
                await b.publisher.publish(to_room(str(number)))
            await b.publisher.publish(to_user("kept", "bo"))
            held.set()
        await until(lambda: a.gaps and ear.packets)
        ((channels, reason),) = a.gaps
        assert [channel.name for channel in channels] == ["lobby"]
        assert reason == "gap"
        assert titles(ear) == ["kept"]  # a gap in one channel is no gap in another


async def test_malformed_messages_are_counted_and_dropped(side, valkey):
    async with side(valkey.url, "a") as a:
        ear = await a.member("ada")
        with valkey.client() as client:
            for topic in ("notify:topic:user:/:ada", "notify:node:a", "notify:socketio", "socketio"):
                for rubbish in (
                    b"",
                    b"5",
                    b"true",
                    b"null",
                    b"[]",
                    b"{}",
                    b"\xff\xfe",
                    b"canary x y z",
                    b"x" * 9999,
                ):
                    client.publish(topic, rubbish)
                for method in ("emit", "disconnect", "enter_room", "close_room", "callback", "nonsense", 7):
                    client.publish(topic, json.dumps({"method": method}))
            client.publish("notify:topic:user:/:ada", b'e-1-0 - - 5\n["a","e-1-0"]')
        await a.publisher.publish(to_user("still here"))
        await until(lambda: ear.packets)
        assert titles(ear) == ["still here"]
        assert sum(a.stats.malformed.values()) >= 30
        assert a.subscriber.connected
        assert a.stats.resubscriptions == 0


async def test_a_plain_manager_of_python_socketio_reaches_the_members(side, valkey):
    import socketio

    async with side(valkey.url, "a") as a:
        a.manager.set_server(EncodingServer())
        ear = await a.member("ada", "lobby")
        outside = socketio.AsyncRedisManager(valkey.tcp_url, write_only=True)
        try:
            await outside.emit("hello", {"n": 1}, room="lobby")
            await outside.emit("bytes", b"\x00\x01", room="lobby")
            await until(lambda: len(ear.packets) == 3)
        finally:
            await outside.redis.aclose()
        assert ear.packets[0] == b'42["hello",{"n":1}]'
        assert ear.packets[1].startswith(b'451-["bytes",')
        assert ear.packets[2] == b"\x00\x01"


async def test_an_emit_raises_when_redis_is_away(side, own_valkey):
    async with side(own_valkey.url, "a") as a:
        own_valkey.stop()
        with pytest.raises(NotifyError):
            await a.manager.emit("hello", {}, room="lobby")


async def test_a_hundred_copies_of_a_request_make_one_notification(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b, side(valkey.url, "c") as c:
        ear = await a.member("ada")
        users = ("ada", *(f"user-{number}" for number in range(999)))
        notification = Notification(Target(users=users), title="one")
        key = Idempotency("scope", "key", body=b"\1" * 32, meaning=b"\2" * 32)

        async def post(from_side):
            while True:
                try:
                    return await from_side.publisher.publish(notification, idempotency=key)
                except NotifyError as error:
                    assert error.code == "in_flight"
                    await asyncio.sleep(0.02)

        answers = await asyncio.gather(*(post(each) for each in (a, b, c) * 33), post(a))
        assert len({answer.id for answer in answers}) == 1
        assert sum(not answer.replayed for answer in answers) == 1
        await a.publisher.publish(to_user("after"))
        await until(lambda: len(ear.packets) >= 2)
        assert titles(ear) == ["one", "after"]


async def test_a_request_that_died_half_way_is_finished_and_not_doubled(side, valkey, monkeypatch):
    async with side(valkey.url, "a") as a:
        first, last = await a.member("user-0"), await a.member("user-999")
        notification = Notification(Target(users=tuple(f"user-{n}" for n in range(1000))), title="one")
        key = Idempotency("scope", "key", body=b"\1" * 32, meaning=b"\2" * 32)
        append = a.log.append

        async def dies(*entries):
            await append(*entries[: len(entries) // 2])
            raise Unavailable("the node dies here")

        monkeypatch.setattr(a.log, "append", dies)
        with pytest.raises(Unavailable):
            await a.publisher.publish(notification, idempotency=key)
        monkeypatch.undo()
        await until(lambda: first.packets)
        assert last.packets == []
        async with asyncio.timeout(30):
            while True:
                try:
                    await a.publisher.publish(notification, idempotency=key)
                    break
                except NotifyError as error:
                    assert error.code == "in_flight"
                    await asyncio.sleep(0.1)
        await until(lambda: last.packets)
        assert titles(first) == titles(last) == ["one"]
        assert json.loads(first.packets[0][2:])[1]["id"] == json.loads(last.packets[0][2:])[1]["id"]


async def test_a_node_that_alone_hears_nothing_knows_it_and_heals(side, valkey, proxy, monkeypatch):
    monkeypatch.setattr(canary, "INTERVAL_S", 0.1)
    monkeypatch.setattr(canary, "LOST_S", 0.4)
    async with side(valkey.url, "a") as a:
        ear = await a.member("ada")
        # From here on its subscription goes by a way of its own, and that way hangs.
        subscribe_by(a, proxy)
        await until(lambda: a.stats.resubscriptions == 1 and a.stats.subscribed)
        proxy.mode("stall")
        await a.publisher.publish(to_user("unheard"))
        await until(lambda: a.subscriber.deaf)
        assert a.stats.canaries_lost >= 1
        assert not a.stats.subscribed
        assert ear.packets == []
        proxy.mode("pass")
        await until(lambda: ear.packets and not a.subscriber.deaf)
        assert titles(ear) == ["unheard"]
        assert a.gaps == []


async def test_redis_paused_costs_a_wait_and_no_message(side, own_valkey):
    async with side(own_valkey.url, "a") as a:
        ear = await a.member("ada")
        with own_valkey.client() as client:
            client.client_pause(1500, all=True)
        sent = 0
        while sent < 20:
            try:
                await a.publisher.publish(to_user(str(sent)))
                sent += 1
            except Unavailable:
                await asyncio.sleep(0.05)
        await until(lambda: "19" in titles(ear))
        seen = titles(ear)
        assert [number for number in range(20) if str(number) not in seen] == []
        assert offsets(ear) == sorted(offsets(ear))
