"""What a node missed is read from the logs: all of it, or those who lack something are told."""

from __future__ import annotations

import asyncio
import json

import pytest

from notify.domain.notifications.notification import Notification, Target
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.notifications.retractions import Retractions
from tests.backplane.conftest import held_away, offsets, subscribe_by, titles, to_room, to_user, told
from tests.support.waiting import until


@pytest.mark.parametrize("copies", [0, 1, 9, 31, 32])
async def test_a_cut_between_the_copies_of_one_message_loses_and_doubles_none(side, valkey, proxy, copies):
    users = [f"user-{number}" for number in range(32)]
    async with side(valkey.url, "a") as a:
        ears = [await a.member(user) for user in users]
        subscribe_by(a, proxy)
        await until(lambda: a.stats.resubscriptions == 1)
        await a.publisher.publish(Notification(Target(users=tuple(users)), title="before"))
        proxy.cut_after(32 + copies)
        await a.publisher.publish(Notification(Target(users=tuple(users)), title="in pieces"))
        await a.publisher.publish(Notification(Target(users=tuple(users)), title="after"))
        await until(lambda: proxy.has_cut and all(len(ear.packets) >= 3 for ear in ears))
        for ear in ears:
            assert titles(ear) == ["before", "in pieces", "after"]
        assert len({offset for ear in ears for offset in offsets(ear)}) == 3
        assert a.stats.resubscriptions == 2
        assert a.gaps == []


async def test_a_cut_in_the_last_message_of_all_is_made_good_too(side, valkey, proxy):
    async with side(valkey.url, "a") as a:
        ears = [await a.member(f"user-{number}") for number in range(8)]
        subscribe_by(a, proxy)
        await until(lambda: a.stats.resubscriptions == 1)
        proxy.cut_after(3)
        target = Target(users=tuple(f"user-{number}" for number in range(8)))
        await a.publisher.publish(Notification(target, title="last"))
        await until(lambda: all(ear.packets for ear in ears))
        await until(lambda: a.stats.resubscriptions == 2)
        assert [titles(ear) for ear in ears] == [["last"]] * 8


@pytest.mark.parametrize("copies", [0, 1, 2])
async def test_a_member_of_several_targets_sees_a_message_that_was_cut_in_two_once(
    side, valkey, proxy, copies
):
    async with side(valkey.url, "a") as a:
        ear = await a.member("ada", "lobby", "ops")
        other = await a.member("bo", "ops")
        subscribe_by(a, proxy)
        await until(lambda: a.stats.resubscriptions == 1)
        proxy.cut_after(copies)
        await a.publisher.publish(Notification(Target(users=("ada",), rooms=("lobby", "ops")), title="x"))
        await until(lambda: a.stats.resubscriptions == 2 and ear.packets and other.packets)
        await a.publisher.publish(to_user("after"))
        await until(lambda: len(ear.packets) >= 2)
        assert (titles(ear), titles(other)) == (["x", "after"], ["x"])


@pytest.mark.parametrize("copies", [0, 1, 33, 39, 40, 41])
async def test_a_member_of_many_targets_sees_a_message_in_pieces_once(side, valkey, proxy, copies):
    users = tuple(f"user-{number}" for number in range(40))
    async with side(valkey.url, "a") as a:
        ears = [await a.member(user, "lobby", "ops") for user in users]
        other = await a.member("bo", "lobby", "ops")
        subscribe_by(a, proxy)
        await until(lambda: a.stats.resubscriptions == 1)
        proxy.cut_after(copies)
        await a.publisher.publish(Notification(Target(users=users, rooms=("lobby", "ops")), title="x"))
        await until(lambda: a.stats.resubscriptions == 2 and all(ear.packets for ear in (*ears, other)))
        await a.publisher.publish(to_room("after"))
        await until(lambda: all(len(ear.packets) >= 2 for ear in (*ears, other)))
        assert [titles(ear) for ear in (*ears, other)] == [["x", "after"]] * 41


LOG = "notify:log:user:/:ada"


def delete_log(client) -> None:
    client.delete(LOG)


def let_log_expire(client) -> None:
    client.pexpire(LOG, 1)


def delete_entry(client) -> None:
    client.xtrim(LOG, maxlen=0, approximate=False)


@pytest.mark.parametrize("lose", [delete_log, let_log_expire, delete_entry])
@pytest.mark.parametrize("heard_before", [False, True])
@pytest.mark.parametrize("begun_anew", [False, True])
async def test_a_log_that_is_gone_is_no_log_in_which_nothing_happened(
    side, valkey, lose, heard_before, begun_anew
):
    async with side(valkey.url, "a") as a:
        ada, bo, idle = await a.member("ada"), await a.member("bo"), await a.member("idle")
        if heard_before:
            await a.publisher.publish(to_user("before"))
            await until(lambda: ada.packets)
        async with held_away(a, valkey) as client:
            await a.publisher.publish(to_user("lost"))
            await a.publisher.publish(to_user("kept", "bo"))
            lose(client)
            await until(lambda: not client.exists(LOG) or not client.xlen(LOG))
            if begun_anew:
                await a.publisher.publish(to_user("in a new log"))
        await until(lambda: a.gaps and bo.packets)
        assert told(a) == ["ada"]
        assert titles(bo) == ["kept"]
        assert titles(ada) == (["before"] if heard_before else [])  # never a part of what was missed
        assert idle.packets == []


async def test_logs_that_went_before_the_node_was_cut_off_are_no_gap(side, valkey):
    async with side(valkey.url, "a") as a:
        ada = await a.member("ada")
        await a.publisher.publish(to_user("before"))
        await until(lambda: ada.packets)
        async with held_away(a, valkey) as client:
            client.delete(LOG)
            await a.publisher.publish(to_user("ephemeral", ttl_s=0))
        await until(lambda: a.stats.resubscriptions)
        await a.publisher.publish(to_user("after"))
        await until(lambda: len(ada.packets) == 2)
        assert titles(ada) == ["before", "after"]
        assert a.gaps == []


async def test_entries_of_a_version_that_does_not_chain_them_are_read(side, valkey):
    async with side(valkey.url, "a") as a:
        ada = await a.member("ada")
        await a.publisher.publish(to_user("chained"))
        await until(lambda: ada.packets)
        async with held_away(a, valkey) as client:
            epoch, ms, _ = client.get("notify:clock").decode().split("-")
            for number in range(1, 4):
                entry = f"{int(ms) + number}-0"
                offset = f"{epoch}-{entry}"
                message = f'{offset} - -\n["notification",{{"title":"old {number}"}},"{offset}"]'
                client.xadd(LOG, {"m": message, "x": 0}, id=entry)
                client.set("notify:clock", offset)
            await a.publisher.publish(to_user("chained again"))
        await until(lambda: len(ada.packets) == 5)
        assert titles(ada) == ["chained", "old 1", "old 2", "old 3", "chained again"]
        assert a.gaps == []


async def test_a_node_that_was_away_for_longer_than_logs_live_tells_all(side, valkey):
    async with side(valkey.url, "a", window_s=0.5) as a:
        await a.member("ada")
        async with held_away(a, valkey):
            await asyncio.sleep(0.6)  # by Redis' clock, which no test can move
        await until(lambda: a.gaps)
        assert told(a) == ["ada"]


@pytest.mark.parametrize("fault", ["data lost", "log lost"])
async def test_a_gap_is_told_though_the_catch_up_that_found_it_was_cut(side, own_valkey, fault):
    async with side(own_valkey.url, "a") as a:
        ada = await a.member("ada")
        await a.publisher.publish(to_user("before"))
        await until(lambda: ada.packets)
        catch_up = a.log.catch_up
        cuts: list[bool] = []

        async def cut_first(*args, **kwargs):
            answer = await catch_up(*args, **kwargs)
            if len(cuts) < 2:
                cuts.append(answer)
                a.subscriber._connection.abort()
            return answer

        async with held_away(a, own_valkey) as client:
            await a.publisher.publish(to_user("missed"))
            own_valkey.flush() if fault == "data lost" else delete_log(client)
            await a.publisher.publish(to_user("in another log", "bo"))
            a.subscriber._store.catch_up = cut_first
        await until(lambda: a.stats.subscribed)
        assert len(cuts) == 2
        assert told(a) == ["ada"]
        assert a.stats.gaps_lost == (1 if fault == "log lost" else 2)  # everyone's channel, too


async def test_of_copies_read_from_logs_the_users_comes_first(side, valkey):
    """It alone tells of the inbox."""
    async with side(valkey.url, "a") as a:
        ada = await a.member("ada", "lobby")
        async with held_away(a, valkey):
            target = Target(users=("ada",), rooms=("lobby",), all=True)
            await a.publisher.publish(Notification(target, title="mixed"))
        await until(lambda: ada.packets)
        (shown,) = [json.loads(packet[2:])[1] for packet in ada.packets]
        assert shown["inbox"]["unseen"] == 1


async def test_what_waits_for_an_offset_waits_for_all_copies_of_it(side, valkey):
    """A client that was replayed everything up to there would otherwise get a copy that is still to come."""
    async with side(valkey.url, "a") as a:
        ada = await a.member("ada")
        await a.publisher.publish(to_user("first of many copies, for all that is known"))
        await until(lambda: ada.packets)
        done: list[str] = []
        offset = a.subscriber._position.latest
        a.subscriber.when_reached(offset, lambda: done.append("canary"))
        assert done == []
        a.subscriber._canary.ask_soon()
        await until(lambda: done)
        assert a.subscriber.last_seen == offset
        a.subscriber.when_reached(offset, lambda: done.append("at once"))
        assert done == ["canary", "at once"]


async def test_what_was_retracted_while_a_node_was_away_does_not_come_with_the_rest(side, valkey):
    async with side(valkey.url, "a") as a, side(valkey.url, "b") as b:
        ada = await a.member("ada", "lobby")
        retractions = Retractions(b.redis, Keys(), Inbox(b.redis, Keys(), max_entries=100))
        async with held_away(a, valkey):
            for notification in (to_room("gone"), to_user("gone as well"), to_room("kept")):
                accepted = await b.publisher.publish(notification)
                if notification.title != "kept":
                    assert await retractions.begin(accepted.id) == "begun"
                    await retractions.finish(accepted.id)
        await until(lambda: ada.packets)
        await b.publisher.publish(to_room("after"))
        await until(lambda: len(ada.packets) == 2)
        assert titles(ada) == ["kept", "after"]
