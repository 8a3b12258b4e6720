"""Connection state recovery: whole and in order, or not at all and said so."""

from __future__ import annotations

import asyncio
import itertools
import time

import jwt
import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import JWT_SECRET, mint

_users = (f"recoverer-{number}" for number in itertools.count())


@pytest.fixture
def user() -> str:
    return next(_users)


async def post(node, target, *titles: str, **fields) -> None:
    for title in titles:
        status, answer = await node.post({"to": target, "title": title, **fields})
        assert status == 202, answer


def titles(client) -> list[str]:
    return [args[0]["title"] for name, args in client.events if name == "notification"]


async def back(client, after: int):
    """The client's `connect` past a position in its log, and the `session:ready` that came with it."""
    connected = await client.wait("connect", after=after)
    ready = await client.wait("event", after=after, event="session:ready")
    return connected, ready["args"][0]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("namespace", ["/", "/chat", "/users/{user}"])
async def test_a_stock_client_gets_what_it_missed_with_its_sid(cluster, user, transport, namespace):
    a, b, _ = cluster.nodes
    namespace = namespace.format(user=user)
    posted_in = "/" if namespace.startswith("/users/") else namespace
    async with JavaScript() as javascript:
        client = await javascript.connect(
            a.url + namespace, transports=[transport], auth={"token": mint(user)}, reconnectionDelay=300
        )
        first = await client.wait("connect")
        await post(b, {"user": user}, "one", namespace=posted_in)
        await client.wait_event("notification")
        for round_number in range(3):
            after = len(client.log)
            await client.cut()
            await client.wait("disconnect", after=after)
            await post(b, {"user": user}, *(f"{round_number}-{n}" for n in range(5)), namespace=posted_in)
            again, ready = await back(client, after)
            assert again["recovered"] is True
            assert again["sid"] == first["sid"]
            assert ready["recovered"] is True
            missed = [line for line in client.log[after:] if line.get("event") == "notification"]
            assert len(missed) == 5
            assert client.log.index(missed[-1]) < client.log.index(again, after)  # before `connect` fires
        await post(b, {"user": user}, "last", namespace=posted_in)
        await client.wait_event("notification", 17)
        assert titles(client) == ["one", *(f"{r}-{n}" for r in range(3) for n in range(5)), "last"]


async def test_recovery_works_before_the_first_event(cluster, user):
    a, b, _ = cluster.nodes
    async with JavaScript() as javascript:
        client = await javascript.connect(a.url, auth={"token": mint(user)}, transports=["websocket"])
        await client.wait("connect")
        after = len(client.log)
        await client.cut()
        await client.wait("disconnect", after=after)
        await post(b, {"user": user}, "missed")
        again, _ = await back(client, after)
        assert again["recovered"] is True
        assert titles(client) == ["missed"]


async def test_rooms_come_back_also_those_joined_later(cluster, user):
    a, b, _ = cluster.nodes
    room, later = f"room-{user}", f"later-{user}"
    await post(b, {"room": later}, "before it joined")
    client = await RawClient.connect(a.url, {"token": mint(user, join=[room], rooms=["later-*"])})
    first = await client.answer()
    assert (await client.call("room:join", {"room": later}))["ok"]
    await client.lose()
    await post(b, {"room": room}, "in the room")
    await post(b, {"room": later}, "in the later room")
    again = await RawClient.connect(
        b.url, {"token": mint(user, join=[room], rooms=["later-*"]), "pid": first["pid"]}
    )
    assert (await again.answer())["sid"] == first["sid"]
    assert again.notifications == ["in the room", "in the later room"]
    await post(a, {"room": later}, "live again")
    await again.until(lambda: len(again.notifications) == 3)
    assert (await again.call("room:leave", {"room": later})) == {"ok": True, "room": later, "left": True}
    await again.lose()
    await post(b, {"room": later}, "after it left")
    third = await RawClient.connect(
        a.url,
        {"token": mint(user, join=[room], rooms=["later-*"]), "pid": first["pid"], "offset": again.offset},
    )
    assert (await third.answer())["pid"] == first["pid"]
    assert third.notifications == []
    await third.close()


async def test_a_room_that_the_new_token_does_not_allow_is_not_given_back(cluster, user):
    a = cluster.nodes[0]
    room = f"room-{user}"
    client = await RawClient.connect(a.url, {"token": mint(user, join=[room])})
    first = await client.answer()
    await client.lose()
    await post(a, {"room": room}, "secret")
    await post(a, {"user": user}, "mine")
    again = await RawClient.connect(a.url, {"token": mint(user), "pid": first["pid"]})
    assert (await again.answer())["pid"] == first["pid"]
    assert again.notifications == ["mine"]
    await again.close()


async def test_a_killed_node_takes_no_session_with_it(tmp_path, user):
    async with Cluster(2, directory=tmp_path) as cluster, JavaScript() as javascript:
        a, b = cluster.nodes
        client = await javascript.connect(a.url, auth={"token": mint(user)}, reconnectionDelayMax=500)
        first = await client.wait("connect")
        await post(b, {"user": user}, "one")
        await client.wait_event("notification")
        for number in range(2):
            after = len(client.log)
            a.kill()
            await client.wait("disconnect", after=after)
            await post(b, {"user": user}, f"missed-{number}")
            await a.start()
            again, _ = await back(client, after)
            assert (again["recovered"], again["sid"]) == (True, first["sid"])
        assert titles(client) == ["one", "missed-0", "missed-1"]


async def test_the_old_connection_may_still_seem_alive(cluster, user):
    a, b, _ = cluster.nodes
    old = await RawClient.connect(a.url, {"token": mint(user)})
    first = await old.answer()
    for node in (a, b, a):  # the same node, another one, and back
        await post(a, {"user": user}, "seen")
        await old.until(lambda old=old: old.notifications)
        new = await RawClient.connect(
            node.url, {"token": mint(user), "pid": first["pid"], "offset": old.offset}
        )
        assert (await new.answer())["sid"] == first["sid"]
        async with asyncio.timeout(30):
            await old.closed.wait()
        assert new.notifications == []
        old = new
    await post(b, {"user": user}, "live")
    await old.until(lambda: old.notifications == ["live"])
    await old.close()


async def test_two_tabs_of_one_user_are_apart(cluster, user):
    a, b, _ = cluster.nodes
    one = await RawClient.connect(a.url, {"token": mint(user)})
    two = await RawClient.connect(a.url, {"token": mint(user)})
    first, second = await one.answer(), await two.answer()
    assert first["pid"] != second["pid"]
    assert first["sid"] != second["sid"]
    await one.lose()
    await post(b, {"user": user}, "news")
    await two.until(lambda: two.notifications == ["news"])
    again = await RawClient.connect(b.url, {"token": mint(user), "pid": first["pid"]})
    assert (await again.answer())["sid"] == first["sid"]
    assert again.notifications == ["news"]
    assert not two.closed.is_set()
    assert two.notifications == ["news"]
    await again.close()
    await two.close()


async def test_live_traffic_during_a_replay_waits_and_then_goes_on(cluster, user):
    a, b, c = cluster.nodes
    room = f"room-{user}"
    client = await RawClient.connect(a.url, {"token": mint(user, join=[room])})
    first = await client.answer()
    seen: list[str] = []
    offset = None
    stop = asyncio.Event()
    sent: list[str] = []

    async def publish(node, name):
        for number in itertools.count():
            if stop.is_set():
                return
            title = f"{name}{number}"
            await post(node, {"room": room}, title)
            sent.append(title)

    publishing = [asyncio.create_task(publish(node, name)) for node, name in ((b, "b"), (c, "c"))]
    for number in range(12):
        await client.until(lambda client=client: len(client.notifications) >= 10, within_s=30)
        await client.lose()
        seen += client.notifications
        offset = client.offset or offset
        client = await RawClient.connect(
            cluster.nodes[number % 3].url,
            {"token": mint(user, join=[room]), "pid": first["pid"], "offset": offset},
        )
        assert (await client.answer()).get("pid") == first["pid"]
    stop.set()
    await asyncio.gather(*publishing)
    await client.until(lambda: len(seen) + len(client.notifications) >= len(sent))
    seen += client.notifications
    assert sorted(seen) == sorted(sent)
    for name in "bc":
        numbers = [int(title[1:]) for title in seen if title[0] == name]
        assert numbers == list(range(len(numbers)))
    await client.close()


async def refused_recovery(url, token, pid, offset=None):
    """A connect with a pid that is not honoured: let in anew, and told so."""
    auth = {"token": token, "pid": pid, **({"offset": offset} if offset else {})}
    client = await RawClient.connect(url, auth)
    answer = await client.answer()
    assert answer["pid"] != pid
    await client.until(lambda: client.events)
    assert client.events[0][0] == "session:ready"
    assert client.events[0][1]["recovered"] is False
    assert client.notifications == []
    await client.close()
    return answer


async def test_a_pid_is_worth_nothing_without_its_users_token(cluster, user):
    a, b, _ = cluster.nodes
    client = await RawClient.connect(a.url, {"token": mint(user)})
    first = await client.answer()
    await client.lose()
    await post(a, {"user": user}, "for the owner only")
    await refused_recovery(b.url, mint("somebody-else"), first["pid"])
    for token in (None, "", "x.y.z", mint(user, expires_in_s=-5)):
        thief = await RawClient.connect(b.url, {"token": token, "pid": first["pid"]})
        assert (await thief.answer())["refused"]
        await thief.close()
    again = await RawClient.connect(b.url, {"token": mint(user), "pid": first["pid"]})
    assert (await again.answer())["pid"] == first["pid"]
    assert again.notifications == ["for the owner only"]
    await again.close()


async def test_a_pid_cannot_be_guessed(cluster, user):
    client = await RawClient.connect(cluster.nodes[0].url, {"token": mint(user)})
    pid = (await client.answer())["pid"]
    assert len(pid) >= 22  # 128 bits and more
    for guess in (pid[:-1], pid[:-1] + "*", pid.swapcase(), "*", "", "x" * 65):
        await refused_recovery(cluster.nodes[0].url, mint(user), guess)
    await client.close()


async def test_past_the_count_nothing_is_replayed(tmp_path, user):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_RECOVERY_MAX_MESSAGES": "5"}) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint(user)})
        first = await client.answer()
        await client.lose()
        await post(node, {"user": user}, *map(str, range(5)))
        client = await RawClient.connect(node.url, {"token": mint(user), "pid": first["pid"]})
        assert (await client.answer())["pid"] == first["pid"]
        assert client.notifications == list("01234")
        await client.lose()
        await post(node, {"user": user}, *map(str, range(6)))
        await refused_recovery(node.url, mint(user), first["pid"], client.offset)
        assert await node.metric("notify_not_recovered_total", reason="too_many") == 1


async def test_past_the_window_the_session_is_over(tmp_path, user):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_RECOVERY_WINDOW": "1"}) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint(user)})
        first = await client.answer()
        with cluster.valkey.client() as redis:
            key = f"notify:session:{first['pid']}"
            ends_ms = redis.pexpiretime(key)
            deadline = time.monotonic() + 10
            while (
                redis.pexpiretime(key) < ends_ms + 1500
            ):  # kept alive while connected, for longer than the window
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            await client.lose()
            deadline = time.monotonic() + 10
            while redis.exists(key):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        await refused_recovery(node.url, mint(user), first["pid"])
        assert await node.metric("notify_not_recovered_total", reason="expired") == 1


async def test_lost_data_means_another_epoch_and_no_recovery(tmp_path, user):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint(user)})
        first = await client.answer()
        await post(node, {"user": user}, "before")
        await client.until(lambda: client.notifications)
        cluster.valkey.flush()
        async with asyncio.timeout(30):
            await client.closed.wait()  # the node hears of the new epoch, and tells its clients
        await post(node, {"user": user}, "after")
        await refused_recovery(node.url, mint(user), first["pid"], client.offset)
        assert await node.metric("notify_epoch_changes_total") >= 1


async def test_a_stale_offset_with_a_new_session_is_harmless(cluster, user):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user)})
    await client.answer()
    await post(a, {"user": user}, "one")
    await client.until(lambda: client.notifications)
    stale = client.offset
    await post(a, {"user": user}, "two")
    await client.until(lambda: len(client.notifications) == 2)
    await client.close()
    fresh = await RawClient.connect(a.url, {"token": mint(user), "offset": stale})
    first = await fresh.answer()
    await fresh.lose()
    again = await RawClient.connect(a.url, {"token": mint(user), "pid": first["pid"], "offset": stale})
    assert (await again.answer())["pid"] == first["pid"]
    assert again.notifications == []  # "two" came before this session began
    await again.close()


@pytest.mark.parametrize("offset", ["nonsense", "a-b-c", "x" * 100, 7, ["a"], {"a": 1}])
async def test_an_offset_that_cannot_be_read_is_no_recovery(cluster, user, offset):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user)})
    first = await client.answer()
    await post(a, {"user": user}, "seen")
    await client.until(lambda: client.notifications)
    await client.lose()
    before = await a.metric("notify_not_recovered_total", reason="offset")
    await refused_recovery(a.url, mint(user), first["pid"], offset)
    assert await a.metric("notify_not_recovered_total", reason="offset") == before + 1


@pytest.mark.parametrize("offset", ["", None])
async def test_an_offset_that_is_none_counts_as_not_given(cluster, user, offset):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user)})
    first = await client.answer()
    await client.lose()
    await post(a, {"user": user}, "missed")
    again = await RawClient.connect(a.url, {"token": mint(user), "pid": first["pid"], "offset": offset})
    assert (await again.answer())["pid"] == first["pid"]
    assert again.notifications == ["missed"]
    await again.close()


async def test_an_offset_that_was_never_given_out_is_refused(cluster, user):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user)})
    first = await client.answer()
    await post(a, {"user": user}, "one")
    await client.until(lambda: client.notifications)
    assert client.offset is not None
    epoch = client.offset.partition("-")[0]
    await client.lose()
    await refused_recovery(a.url, mint(user), first["pid"], f"{epoch}-{10**13}-0")


async def test_leaving_on_purpose_ends_the_session(cluster, user):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user)})
    first = await client.answer()
    await client.send("41")
    with cluster.valkey.client() as redis:
        deadline = time.monotonic() + 5
        while redis.exists(f"notify:session:{first['pid']}"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    await client.close()
    await refused_recovery(a.url, mint(user), first["pid"])


async def test_a_client_may_do_without_recovery(cluster, user):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user), "recovery": False})
    answer = await client.answer()
    assert "pid" not in answer
    await post(a, {"user": user}, "plain")
    await client.until(lambda: client.notifications)
    event = next(event for event in client.events if event[0] == "notification")
    assert len(event) == 2  # no offset at the end
    await client.close()


async def test_ephemeral_notifications_are_not_replayed(cluster, user):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user)})
    first = await client.answer()
    await post(a, {"user": user}, "live", ttl=0)
    await client.until(lambda: client.notifications == ["live"])
    await client.lose()
    await post(a, {"user": user}, "now or never", ttl=0)
    await post(a, {"user": user}, "kept")
    await post(a, {"user": user}, "short", ttl=1)
    with cluster.valkey.client() as redis:
        seconds, microseconds = redis.time()
        while redis.time() < (seconds + 1, microseconds):  # until its time is over
            await asyncio.sleep(0.02)
    again = await RawClient.connect(
        a.url, {"token": mint(user), "pid": first["pid"], "offset": client.offset}
    )
    assert (await again.answer())["pid"] == first["pid"]
    assert again.notifications == ["kept"]
    await again.close()


async def test_an_expired_token_ends_the_connection_and_a_new_one_finds_the_session(cluster, user):
    a = cluster.nodes[0]
    client = await RawClient.connect(a.url, {"token": mint(user, expires_in_s=2)})
    first = await client.answer()
    await client.until(lambda: any(event[0] == "session:expiring" for event in client.events))
    async with asyncio.timeout(30):
        await client.closed.wait()
    assert "1" not in client.packets  # after a DISCONNECT it would stay away
    await post(a, {"user": user}, "meanwhile")
    old = await RawClient.connect(a.url, {"token": mint(user, expires_in_s=-1), "pid": first["pid"]})
    answer = await old.answer()
    assert answer["refused"]
    assert answer["data"]["code"] == "token_expired"
    await old.close()
    again = await RawClient.connect(a.url, {"token": mint(user), "pid": first["pid"]})
    assert (await again.answer())["pid"] == first["pid"]
    assert again.notifications == ["meanwhile"]
    await again.close()


async def test_a_revoked_token_is_refused_also_with_a_pid(cluster, user):
    a = cluster.nodes[0]
    issued = int(time.time()) - 60
    old_token = jwt.encode({"sub": user, "iat": issued, "exp": issued + 3600}, JWT_SECRET, "HS256")
    client = await RawClient.connect(a.url, {"token": old_token})
    first = await client.answer()
    await client.lose()
    with cluster.valkey.client() as redis:
        redis.set(f"notify:revoked:{user}", issued + 30, ex=60)
    for auth in ({"token": old_token}, {"token": old_token, "pid": first["pid"]}):
        refused = await RawClient.connect(a.url, auth)
        answer = await refused.answer()
        assert answer["refused"]
        assert answer["data"]["code"] == "token_revoked"
        await refused.close()
    again = await RawClient.connect(a.url, {"token": mint(user), "pid": first["pid"]})
    assert (await again.answer())["pid"] == first["pid"]
    await again.close()
