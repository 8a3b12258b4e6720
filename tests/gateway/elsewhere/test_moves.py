"""Moves as the websocket's node sees them: asked for over a real link, with made-up sessions."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notify.domain.errors import Unavailable
from notify.gateway.elsewhere import moves as moves_module
from notify.gateway.elsewhere.door import Door
from notify.gateway.elsewhere.links import Links
from notify.gateway.elsewhere.moves import TRIES, Moves
from notify.gateway.engineio.packet import PROBE_ANSWER
from notify.gateway.engineio.timers import Wheel
from notify.gateway.http.errors import BAD_REQUEST, TAKEN, UNKNOWN_SID, Refused
from notify.gateway.stats import GatewayStats
from notify.protocol.links import FORMER, PATH
from tests.gateway.elsewhere.test_links import MARK, SID, Book, Home, until


class Departures:
    """The other node: what it was asked, and what it answers."""

    def __init__(self):
        self.asked = []
        self.stayed = []
        self.refusal = None
        self.taken = b"handed"
        self.probing = None
        self.busy = 0

    def may_move(self, sid, asker):
        self.asked.append("may_move")
        if self.refusal is not None:
            raise self.refusal

    async def probe(self, sid, asker):
        self.asked.append("probe")
        if self.probing is not None:
            await self.probing
        return b""

    def stays(self, sid, asker):
        self.stayed.append(sid)

    async def describe(self, sid, asker):
        self.asked.append("describe")
        if self.busy:
            self.busy -= 1
            raise Refused(BAD_REQUEST, "busy")
        return b"described"

    async def cut(self, sid, asker, order):
        self.asked.append("cut " + order.decode())
        return b""

    async def take(self, sid, asker):
        self.asked.append("take")
        taken = self.taken() if callable(self.taken) else self.taken
        if isinstance(taken, asyncio.Future):
            taken = await taken
        if isinstance(taken, Exception):
            raise taken
        return taken


class Newcomer:
    """A session that comes."""

    def __init__(self, newcomers):
        self.newcomers = newcomers
        self.order = b"order"
        self.needs_cut = newcomers.need_cuts
        self.end = None
        self.packets = None

    async def subscribed(self):
        if self.newcomers.fault is not None:
            raise self.newcomers.fault

    async def heard(self):
        if self.newcomers.unheard:
            self.newcomers.unheard -= 1
            raise Unavailable("not heard")

    async def take(self, handed):
        self.handed = handed
        if self.newcomers.claim is not None:
            await self.newcomers.claim

    def complete(self, websocket, packets, *, held):
        self.end, self.packets, self.held = "complete", packets, held

    def abandon(self):
        self.end = self.end or "abandon"

    def lose(self):
        self.end = self.end or "lose"


class Newcomers:
    """This node's sessions."""

    def __init__(self):
        self.all = []
        self.fault = None
        self.claim = None
        self.unheard = 0
        self.need_cuts = True

    def enter(self, sid, description, *, address):
        assert (sid, description, address) == (SID, b"described", "192.0.2.1")
        self.all.append(Newcomer(self))
        return self.all[-1]


class WebSocket:
    """What the probe does to the client's websocket."""

    def __init__(self):
        self.done = []

    def write(self, frames):
        self.done.append(frames)

    def pause_reading(self):
        self.done.append("pause")

    def close(self):
        self.done.append("close")

    def leave(self):
        self.done.append("leave")


class Far:
    """All that a test looks at."""

    def __init__(self):
        self.departures = Departures()
        self.newcomers = Newcomers()
        self.stats = GatewayStats()
        self.websocket: Any = WebSocket()
        self.takes_more = True
        self.links: Links
        self.moves: Moves
        self.door: Door

    async def begin(self):
        probe = await self.moves.begin(SID, address="192.0.2.1")
        probe.websocket = self.websocket
        return probe

    async def gone_over(self):
        """A probe whose client has said `5`."""
        probe = await self.begin()
        probe.text_received("2probe")
        await until(lambda: self.websocket.done == [PROBE_ANSWER])
        probe.text_received("5")
        return probe


@asynccontextmanager
async def far(*, most=100, upgrade_timeout_s=10.0, former=False):
    found, book = Far(), Book()
    door = found.door = Door(Home(), found.departures, book, stats=found.stats, max_body_bytes=100)
    app = web.Application()
    app.add_routes([web.get(PATH, speak_the_former_version)] if former else door.routes())
    links = found.links = Links(book, found.stats)
    deadlines: Wheel[Any] = Wheel(lambda probe: probe.on_deadline(), tick_s=0.02)
    moves = found.moves = Moves(
        links,
        found.newcomers,
        stats=found.stats,
        deadlines=deadlines,
        mark_length=len(MARK),
        sid_length=len(SID),
        most=most,
        upgrade_timeout_s=upgrade_timeout_s,
        takes_more=lambda: found.takes_more,
    )
    async with TestServer(app) as server:
        book.addresses[MARK] = str(server.make_url("")).rstrip("/")
        try:
            yield found
        finally:
            await moves.aclose()
            deadlines.stop()
            await links.aclose()
            await door.aclose()


async def speak_the_former_version(request):
    websocket = web.WebSocketResponse(protocols=(FORMER,))
    await websocket.prepare(request)
    async for _ in websocket:
        raise AssertionError("a message that the version before does not know")
    return websocket


async def test_a_session_comes_step_by_step():
    async with far() as found:
        probe = await found.gone_over()
        probe.text_received("4for the session")
        probe.binary_received(b"too")
        probe.writing_paused()
        await until(lambda: found.stats.sessions_moved)
        (newcomer,) = found.newcomers.all
        assert found.departures.asked == ["may_move", "probe", "describe", "cut order", "take"]
        assert (newcomer.end, newcomer.handed) == ("complete", b"handed")
        assert (newcomer.packets, newcomer.held) == (["4for the session", b"too"], True)
        assert found.websocket.done == [PROBE_ANSWER, "pause"]
        assert found.stats.sessions_moved == {"moved": 1}
        assert not found.departures.stayed


async def test_a_node_of_the_version_before_is_not_asked():
    async with far(former=True) as found:
        with pytest.raises(Refused) as refused:
            await found.begin()
        assert refused.value.code == BAD_REQUEST
        assert found.stats.links["here"] == 1  # requests are passed on by it all the same


@pytest.mark.parametrize("code", [UNKNOWN_SID, BAD_REQUEST, TAKEN])
async def test_a_session_that_must_not_move_stays(code):
    async with far() as found:
        found.departures.refusal = Refused(code)
        with pytest.raises(Refused) as refused:
            await found.begin()
        assert refused.value.code == code
        assert not found.stats.sessions_moved


async def test_a_node_that_is_full_asks_nobody():
    async with far(most=1) as found:
        found.takes_more = False
        with pytest.raises(Refused):
            await found.begin()
        found.takes_more = True
        await found.begin()
        with pytest.raises(Refused):
            await found.begin()  # one is under way
        assert found.departures.asked == ["may_move"]


async def test_an_answer_that_does_not_come_leaves_the_client_where_it_is(monkeypatch):
    monkeypatch.setattr(moves_module, "ASK_S", 0.1)
    async with far() as found:
        link = await found.links.to(MARK)
        link._take = lambda message: None  # nothing that is said reaches this node
        with pytest.raises(Refused):
            await found.begin()
        await until(lambda: found.departures.stayed == [SID])


@pytest.mark.parametrize(
    "wrong", [["4hello"], ["5"], ["2probe", "2probe"], ["2probe", "4x"], [b"\x01"], ["2probe", None]]
)
async def test_whatever_goes_wrong_before_the_client_has_gone_over_leaves_it_on_polling(wrong):
    async with far() as found:
        probe = await found.begin()
        for packet in wrong:
            if packet is None:
                probe.connection_closed(1006, False)
            elif isinstance(packet, bytes):
                probe.binary_received(packet)
            else:
                probe.text_received(packet)
        await until(lambda: found.departures.stayed == [SID])
        assert found.stats.sessions_moved == {"stayed": 1}
        assert ("close" in found.websocket.done) is (None not in wrong)
        assert not found.newcomers.all


async def test_a_client_that_does_not_go_on_in_time_stays():
    async with far(upgrade_timeout_s=0.05) as found:
        await found.begin()
        await until(lambda: found.departures.stayed == [SID])
        assert found.websocket.done == ["close"]


@pytest.mark.parametrize("refused", [False, True])
async def test_a_client_is_told_to_go_ahead_only_when_its_node_says_so(refused):
    async with far() as found:
        answer = found.departures.probing = asyncio.get_running_loop().create_future()
        probe = await found.begin()
        probe.text_received("2probe")
        await until(lambda: "probe" in found.departures.asked)
        assert not found.websocket.done
        answer.set_exception(Refused(UNKNOWN_SID)) if refused else answer.set_result(None)
        await until(lambda: found.websocket.done)
        assert found.websocket.done == (["close"] if refused else [PROBE_ANSWER])


@pytest.mark.parametrize("refused", [False, True])
async def test_a_client_that_goes_over_before_it_is_told_to_is_not_kept_waiting(refused):
    async with far() as found:
        answer = found.departures.probing = asyncio.get_running_loop().create_future()
        probe = await found.begin()
        probe.text_received("2probe")
        probe.text_received("5")
        assert found.websocket.done == [PROBE_ANSWER, "pause"]
        await until(lambda: found.stats.sessions_moved)
        answer.set_exception(Refused(UNKNOWN_SID)) if refused else answer.set_result(None)
        await until(lambda: not len(next(iter(found.links._links.values()))))
        assert found.departures.asked == ["may_move", "probe", "describe", "cut order", "take"]
        assert found.websocket.done == [PROBE_ANSWER, "pause"]
        assert found.stats.sessions_moved == {"moved": 1}


async def test_a_node_that_stops_leaves_nobody_waiting():
    async with far() as found:
        await found.begin()
        await found.moves.aclose()
        assert found.websocket.done == ["close"]
        assert found.stats.sessions_moved == {"stayed": 1}


async def test_a_session_that_is_busy_is_asked_for_again():
    async with far() as found:
        found.departures.busy = 2
        await found.gone_over()
        await until(lambda: found.stats.sessions_moved)
        assert found.departures.asked.count("describe") == 3
        assert found.stats.sessions_moved == {"moved": 1}


async def test_a_session_that_has_changed_is_asked_for_again():
    async with far() as found:
        answers = iter([Refused(BAD_REQUEST, "changed"), Refused(BAD_REQUEST, "busy"), b"handed"])
        found.departures.taken = lambda: next(answers)
        await found.gone_over()
        await until(lambda: found.stats.sessions_moved)
        assert [newcomer.end for newcomer in found.newcomers.all] == ["abandon", "abandon", "complete"]
        assert found.stats.sessions_moved == {"moved": 1}


@pytest.mark.parametrize(("code", "tries"), [(BAD_REQUEST, TRIES), (UNKNOWN_SID, 1)])
async def test_a_client_whose_session_is_not_handed_over_has_to_come_back(code, tries):
    async with far() as found:
        found.departures.taken = Refused(code)
        await found.gone_over()
        await until(lambda: found.stats.sessions_moved)
        assert [newcomer.end for newcomer in found.newcomers.all] == ["abandon"] * tries
        assert found.stats.sessions_moved == {"lost": 1}
        assert found.websocket.done[-1] == "leave"
        await until(lambda: found.departures.stayed == [SID])


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_node_that_is_not_subscribed_does_not_have_it_handed_over(monkeypatch, comes_back):
    monkeypatch.setattr(moves_module, "RETRY_S", 0.01)
    async with far() as found:
        found.newcomers.fault = Unavailable("no subscription")
        await found.gone_over()
        await until(lambda: len(found.newcomers.all) == 2)
        assert "cut order" not in found.departures.asked
        if comes_back:
            found.newcomers.fault = None
        await until(lambda: found.stats.sessions_moved)
        assert found.stats.sessions_moved == ({"moved": 1} if comes_back else {"lost": 1})
        assert found.newcomers.all[-1].end == ("complete" if comes_back else "abandon")
        assert (found.websocket.done[-1] == "leave") is not comes_back


async def test_one_to_which_nothing_is_delivered_needs_no_cut():
    async with far() as found:
        found.newcomers.need_cuts = False
        await found.gone_over()
        await until(lambda: found.stats.sessions_moved)
        assert found.departures.asked == ["may_move", "probe", "describe", "take"]


async def test_a_cut_that_this_node_has_not_heard_is_made_again(monkeypatch):
    monkeypatch.setattr(moves_module, "RETRY_S", 0.01)
    async with far() as found:
        found.newcomers.unheard = 1
        await found.gone_over()
        await until(lambda: found.stats.sessions_moved)
        assert found.departures.asked[2:] == ["describe", "cut order", "describe", "cut order", "take"]
        assert [newcomer.end for newcomer in found.newcomers.all] == ["abandon", "complete"]


async def test_a_link_that_is_lost_in_the_middle_costs_a_recovery():
    async with far() as found:
        found.departures.taken = asyncio.get_running_loop().create_future()
        await found.gone_over()
        await until(lambda: "take" in found.departures.asked)
        closing = asyncio.create_task(found.door.aclose())
        await until(lambda: found.stats.sessions_moved)
        assert found.stats.sessions_moved == {"lost": 1}
        assert [newcomer.end for newcomer in found.newcomers.all] == ["abandon"]
        await until(lambda: SID in found.departures.stayed)  # and it is told by the link's end
        found.departures.taken.set_result(b"too late")
        await closing


async def test_what_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(moves_module, "MOVE_S", 0.1)
    async with far() as found:
        found.newcomers.claim = asyncio.get_running_loop().create_future()
        await found.gone_over()
        await until(lambda: found.stats.sessions_moved)
        assert [newcomer.end for newcomer in found.newcomers.all] == ["lose"]
        assert found.stats.sessions_moved == {"lost": 1}
        assert found.websocket.done[-1] == "leave"


async def test_a_client_that_goes_while_its_session_comes_can_come_back_to_it():
    async with far() as found:
        found.newcomers.claim = asyncio.get_running_loop().create_future()
        probe = await found.gone_over()
        await until(lambda: found.newcomers.all and hasattr(found.newcomers.all[0], "handed"))
        probe.connection_closed(1006, False)
        found.newcomers.claim.set_result(None)
        await until(lambda: found.stats.sessions_moved)
        assert found.newcomers.all[0].end == "lose"
        assert found.stats.sessions_moved == {"lost": 1}
