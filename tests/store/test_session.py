"""What stands in Redis for a session, in this version and as the one before wrote it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from notify.domain.offset import Offset
from notify.store.orders import Orders, room_field
from notify.store.session import Session
from tests.store.test_sessions import sessions_on
from tests.support.clients.raw import RawClient
from tests.support.tokens import mint

START = Offset("ab12", 1000, 2)
SESSION = Session(
    "sid", "ada", "/", "node-1", "socket-1", {"lobby": "", "late": "1500-0"}, ("late",), ("declined",), START
)


def as_version_1(session: Session) -> bytes:
    """What nodes of the version before wrote."""
    values = [
        session.sid,
        session.user,
        session.namespace,
        session.node,
        session.socket,
        dict(session.rooms),
        list(session.granted),
    ]
    return f"{session.start}\n{json.dumps(values)}".encode()


@pytest.mark.parametrize("session", [SESSION, Session("s", "ada", "/", "n", "e", start=START)])
def test_what_is_written_is_read(session: Session):
    assert Session.decode(session.line()) == session


def test_the_version_before_is_read():
    assert Session.decode(as_version_1(SESSION)) == replace(SESSION, declined=())


def as_version_1_reads(stored: bytes) -> list[object]:
    """What nodes of the version before made of a session: one for each name, or a ValueError."""
    _, _, rest = stored.partition(b"\n")
    sid, user, namespace, node, socket, rooms, granted = json.loads(rest)
    return [sid, user, namespace, node, socket, rooms, granted]


@pytest.mark.parametrize("session", [SESSION, Session("s", "ada", "/", "n", "e", start=START)])
def test_the_version_before_takes_this_one_for_none(session: Session):
    """Its client is told that it lost its place, and begins anew."""
    assert as_version_1_reads(as_version_1(session))
    with pytest.raises(ValueError):
        as_version_1_reads(session.line())


@pytest.mark.parametrize(
    "stored", [b"", b"x", b"ab12-1-1\n", b"ab12-1-1\n{}", b"ab12-1-1\n[1]", b'ab12-1-1\n{"v":3}']
)
def test_what_is_neither_is_refused(stored: bytes):
    with pytest.raises(ValueError):
        Session.decode(stored)


async def test_the_script_knows_the_owner_in_either_version(valkey):
    async with sessions_on(valkey.url) as (sessions, redis):
        for stored in (as_version_1(SESSION), SESSION.line()):
            await redis.execute("SET", "notify:session:pid", stored, "EX", 60)
            assert not await sessions.save("pid", replace(SESSION, socket="socket-2"))
            assert not await sessions.save("pid", replace(SESSION, node="node-2"))
            assert await sessions.save("pid", replace(SESSION, rooms={}))
            (found,) = await sessions.read([("pid", "ada")])
            assert found is not None
            assert found.session == replace(SESSION, rooms={})


async def test_a_session_of_the_version_before_is_recovered(cluster, unique):
    """A rolling upgrade: the client was let in by a node of the version before, and comes to one of this."""
    a, b, _ = cluster.nodes
    room, left = f"room-{unique}", f"left-{unique}"
    token = mint(unique, join=[room])
    client = await RawClient.connect(a.url, {"token": token})
    first = await client.answer()
    await client.lose()
    with cluster.valkey.client() as redis:
        key = f"notify:session:{first['pid']}"
        session = Session.decode(redis.get(key))
        redis.set(
            key, as_version_1(replace(session, granted=(left,), rooms={**session.rooms, left: ""})), ex=60
        )
    for target in ({"user": unique}, {"room": room}, {"room": left}):
        await a.post({"to": target, "title": str(target)})
    again = await RawClient.connect(b.url, {"token": token, "pid": first["pid"]})
    assert (await again.answer())["sid"] == first["sid"]
    assert len(again.notifications) == 3
    with cluster.valkey.client() as redis:
        assert b'"v":2' in redis.get(key)
    await again.close()


def test_orders_hold_for_what_began_before_them():
    orders = Orders.decode(
        json.dumps(
            {"v": 1, "at": "ab12-9-0", "away": "ab12-5-0", "rooms": {room_field("/", "lobby"): "ab12-9-0"}}
        ).encode()
    )
    assert orders.end(Offset("ab12", 4, 9))
    assert not orders.end(Offset("ab12", 5, 0))
    assert orders.remove("/", "lobby", Offset("ab12", 8, 0))
    assert not orders.remove("/", "lobby", Offset("ab12", 9, 0))
    assert not orders.remove("/chat", "lobby", Offset("ab12", 8, 0))


@pytest.mark.parametrize("stored", [None, b"", b"x", b"[]", b'{"rooms":[]}', b'{"away":7,"rooms":{"x":1}}'])
def test_what_is_no_order_orders_nothing(stored: bytes | None):
    assert Orders.decode(stored) == Orders()
