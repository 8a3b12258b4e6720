"""Connections that are in no namespace: they have a bound, and room is made where most of them come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from notify.gateway.engineio.bounds.unconnected import Unconnected
from notify.gateway.socketio.server import SocketServer
from tests.gateway.edge import Poller, running
from tests.support.waiting import until


@dataclass(frozen=True)
class Somebody:
    address: str
    number: int


def crowd(address: str, count: int) -> Iterator[Somebody]:
    return (Somebody(address, number) for number in range(count))


def filled(most: int, *somebodies: Iterator[Somebody]) -> tuple[Unconnected[Somebody], list[Somebody]]:
    unconnected: Unconnected[Somebody] = Unconnected(most=most)
    return unconnected, [gone for each in somebodies for one in each for gone in unconnected.add(one)]


def test_below_the_bound_nobody_goes():
    unconnected, gone = filled(10, crowd("192.0.2.1", 10))
    assert (len(unconnected), gone) == (10, [])


def test_the_oldest_of_the_fullest_address_goes():
    _, gone = filled(10, crowd("192.0.2.1", 3), crowd("192.0.2.2", 6), crowd("192.0.2.3", 3))
    assert gone == [Somebody("192.0.2.2", 0), Somebody("192.0.2.2", 1)]


def test_who_comes_from_elsewhere_stays_whatever_one_address_does():
    unconnected, gone = filled(100, crowd("192.0.2.1", 30), crowd("203.0.113.9", 5_000))
    assert len(unconnected) <= 100
    assert {one.address for one in gone} == {"203.0.113.9"}
    assert [one.number for one in gone] == sorted(one.number for one in gone)


def test_a_large_crowd_goes_in_parts():
    _, gone = filled(6_400, crowd("192.0.2.1", 6_401))
    assert [one.number for one in gone] == list(range(100))


def test_addresses_of_one_ipv6_network_are_one():
    _, gone = filled(
        4, crowd("192.0.2.1", 2), crowd("2001:db8::1", 1), crowd("2001:db8::2", 1), crowd("2001:db8::3", 1)
    )
    assert gone == [Somebody("2001:db8::1", 0)]
    _, gone = filled(2, crowd("::ffff:192.0.2.1", 1), crowd("::ffff:192.0.2.2", 1), crowd("", 1))
    assert len(gone) == 1


def test_who_is_discarded_is_not_counted():
    unconnected, _ = filled(2, crowd("192.0.2.1", 2))
    for one in crowd("192.0.2.1", 2):
        unconnected.discard(one)
        unconnected.discard(one)
    assert len(unconnected) == 0
    with pytest.raises(ValueError, match="max_unconnected"):
        Unconnected(most=0)


async def test_strangers_do_not_take_the_places_of_clients():
    server = SocketServer(max_connections=8, max_unconnected=4)
    async with running(server) as edge:
        let_in = [await edge.open_websocket() for _ in range(3)]
        for websocket in let_in:
            await websocket.recv()
            await websocket.send("40")
            assert str(await websocket.recv()).startswith("40{")
        strangers = [await edge.open_polling() for _ in range(20)]
        newest = await edge.open_websocket()
        await newest.recv()
        await newest.send("40")
        assert str(await newest.recv()).startswith("40{")
        for websocket in let_in:
            await websocket.send('42["still there"]')
        await until(lambda: server.stats.messages_in == 3)
        assert server.stats.crowded_out == 17
        kept = [stranger for stranger in strangers if stranger.opened["sid"] in server.eio.sockets]
        assert kept == strangers[17:]
        assert await strangers[0].gone()
        for websocket in (*let_in, newest):
            await websocket.close()


async def test_who_has_left_all_namespaces_is_not_kept_for_ever():
    server = SocketServer(connect_timeout=0.2, ping_interval=0.1, ping_timeout=5)
    async with running(server) as edge:
        poller = await edge.open_polling()
        await poller.post("40")
        assert (await poller.poll()).startswith("40{")
        await poller.post("41")
        await until(lambda: not server.manager.books)
        assert server.eio.sockets
        while await answers_pings(poller):
            pass
        assert server.stats.closed == {"server disconnect": 1}


async def answers_pings(poller: Poller) -> bool:
    """Read once, as a client does; False when the connection has ended."""
    status, body = await poller.get()
    if status != 200 or body == "1":
        return False
    assert body == "2"
    return (await poller.post("3"))[0] == 200
