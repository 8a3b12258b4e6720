"""Links between nodes: how they are made, shared, replaced and lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notify.gateway.elsewhere.door import Door
from notify.gateway.elsewhere.link import LinkLost
from notify.gateway.elsewhere.links import Links, NoSuchNode
from notify.gateway.elsewhere.relay import Relay
from notify.gateway.engineio.transports.polling import BrokenBody
from notify.gateway.http.errors import BAD_REQUEST, UNKNOWN_SID, Refused
from notify.gateway.stats import GatewayStats

MARK = "abcd"
SID = MARK + "x" * 20


class Book:
    """Where nodes are, as a directory would say."""

    def __init__(self) -> None:
        self.mark = MARK
        self.secret = "first"
        self.accepted = {"first"}
        self.addresses: dict[str, str] = {}
        self.found_by_looking: dict[str, str] = {}
        self.newest = "first"
        self.looks = 0

    def find(self, mark):
        return self.addresses.get(mark)

    def accepts(self, secret):
        return secret in self.accepted

    async def look_again(self):
        self.looks += 1
        self.addresses |= self.found_by_looking
        self.secret = self.newest


class Home:
    """Sessions of a node, of which one is polled."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[bytes]] = {}
        self.posted: list[bytes] = []
        self.lost_sids: list[str] = []

    async def poll(self, sid, poll):
        if sid != SID:
            raise Refused(UNKNOWN_SID)
        answer = self.waiting[sid] = asyncio.get_running_loop().create_future()
        poll.watch(answer)
        try:
            return await answer
        except ConnectionError:
            self.lost(sid)
            raise Refused(BAD_REQUEST) from None

    async def post(self, sid, post):
        self.posted.append(await post.read(100))

    def lost(self, sid):
        self.lost_sids.append(sid)

    def release(self, sid):
        self.waiting[sid].set_result(b"6")


class Nobody:
    """No session of this node ever leaves."""

    def may_move(self, sid, asker):
        raise Refused(BAD_REQUEST)

    async def probe(self, sid, asker):
        raise Refused(BAD_REQUEST)

    def stays(self, sid, asker):
        pass

    async def describe(self, sid, asker):
        raise Refused(BAD_REQUEST)

    async def cut(self, sid, asker, order):
        raise Refused(BAD_REQUEST)

    async def take(self, sid, asker):
        raise Refused(BAD_REQUEST)


class Poll:
    """A GET of a client that may go."""

    def __init__(self) -> None:
        self.gone = False

    def watch(self, answer):
        self.answer = answer


class Post:
    """A POST with a body, or with an error in its place."""

    def __init__(self, body, *, binary=False) -> None:
        self.body = body
        self.binary = binary

    async def read(self, limit):
        if isinstance(self.body, BaseException):
            raise self.body
        return self.body


@asynccontextmanager
async def linked(*, most=100, timeout_s=10.0):
    book, home, stats = Book(), Home(), GatewayStats()
    door = Door(home, Nobody(), book, stats=stats, max_body_bytes=100)
    app = web.Application()
    app.add_routes(door.routes())
    links = Links(book, stats)
    relay = Relay(
        links,
        stats=stats,
        mark_length=len(MARK),
        sid_length=len(SID),
        max_body_bytes=100,
        most=most,
        timeout_s=timeout_s,
    )
    async with TestServer(app) as server:
        book.addresses[MARK] = str(server.make_url("")).rstrip("/")
        try:
            yield relay, links, home, book, stats, door
        finally:
            await links.aclose()
            await door.aclose()


async def until(found):
    async with asyncio.timeout(30):
        while not found():
            await asyncio.sleep(0.005)


async def test_a_poll_is_answered_by_the_other_node():
    async with linked() as (relay, _, home, _, stats, _):
        poll = asyncio.create_task(relay.poll(SID, Poll()))
        await until(lambda: home.waiting)
        assert stats.links == {"here": 1, "there": 1}
        home.waiting[SID].set_result(b"4packets")
        assert await poll == b"4packets"
        assert stats.passed_on == {("poll", "answered"): 1}


async def test_calls_share_one_link():
    async with linked() as (relay, _, home, _, stats, _):
        await asyncio.gather(*(relay.post(SID, Post(b"%d" % number)) for number in range(20)))
        assert sorted(home.posted, key=int) == [b"%d" % number for number in range(20)]
        assert stats.links["here"] == 1


async def test_a_refusal_comes_back_word_for_word():
    async with linked() as (relay, *_):
        with pytest.raises(Refused) as refused:
            await relay.poll(MARK + "y" * 20, Poll())
        assert (refused.value.code, refused.value.message, refused.value.status) == (
            UNKNOWN_SID,
            "Session ID unknown",
            400,
        )


async def test_a_client_that_goes_is_told_of():
    async with linked() as (relay, _, home, _, stats, _):
        poll = Poll()
        call = asyncio.create_task(relay.poll(SID, poll))
        await until(lambda: home.waiting)
        poll.answer.set_exception(ConnectionResetError())
        with pytest.raises(Refused):
            await call
        await until(lambda: home.lost_sids)
        assert stats.passed_on == {("poll", "gone"): 1}


async def test_a_client_that_goes_with_the_answer_is_told_of():
    async with linked() as (relay, _, home, *_):
        poll = Poll()
        call = asyncio.create_task(relay.poll(SID, poll))
        await until(lambda: home.waiting)
        poll.gone = True
        home.waiting[SID].set_result(b"4lost")
        with pytest.raises(Refused):
            await call
        await until(lambda: home.lost_sids == [SID])


@pytest.mark.parametrize("post", [Post(BrokenBody()), Post(b"", binary=True)])
async def test_a_body_that_is_none_reaches_the_session_as_such(post):
    async with linked() as (relay, _, home, *_):
        seen = []

        async def take(sid, post):
            try:
                await post.read(100)
            except BrokenBody:
                seen.append(sid)
                raise Refused(BAD_REQUEST) from None

        home.post = take
        with pytest.raises(Refused):
            await relay.post(SID, post)
        assert seen == [SID]


async def test_a_client_that_goes_without_a_call_costs_nobody_else_a_poll():
    async with linked() as (relay, _, home, _, stats, _):
        first = asyncio.create_task(relay.poll(SID, Poll()))
        await until(lambda: home.waiting)
        other = MARK + "y" * 20
        with pytest.raises(Refused):
            await relay.post(other, Post(ConnectionResetError()))
        await until(lambda: home.lost_sids)
        assert home.lost_sids == [other]
        home.waiting[SID].set_result(b"6")
        assert await first == b"6"
        assert stats.passed_on == {("poll", "answered"): 1}


async def test_nobody_who_waits_is_forgotten_when_the_node_ends():
    async with linked() as (relay, _, home, _, stats, door):
        calls = [asyncio.create_task(relay.poll(SID, Poll())) for _ in range(3)]
        await until(lambda: home.waiting)
        await door.aclose()
        for call in calls:
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.code == UNKNOWN_SID
        assert stats.passed_on == {("poll", "unreachable"): 3}


async def test_a_node_that_just_came_is_looked_for_and_one_that_is_none_is_not_found():
    async with linked() as (_, links, _, book, *_):
        book.found_by_looking = dict(book.addresses)
        book.addresses.clear()
        assert (await links.to(MARK)).stands
        assert book.looks == 1
        with pytest.raises(NoSuchNode):
            await links.to("none")


async def test_a_node_that_is_not_there_is_not_tried_again_at_once():
    async with linked() as (_, links, _, book, *_):
        book.addresses["gone"] = "http://127.0.0.1:9"
        for _ in range(2):
            with pytest.raises(LinkLost):
                await links.to("gone")


async def test_a_new_secret_makes_a_new_link_and_the_old_one_ends_when_it_is_idle():
    async with linked() as (relay, links, home, book, stats, door):
        call = asyncio.create_task(relay.poll(SID, Poll()))
        await until(lambda: home.waiting)
        old = await links.to(MARK)
        book.accepted = {"first", "second"}
        book.secret = "second"
        new = await links.to(MARK)
        assert new is not old
        assert old.stands
        home.waiting[SID].set_result(b"6")
        assert await call == b"6"
        await until(lambda: not old.stands)
        book.accepted = {"third"}
        door.secrets_changed()
        await until(lambda: not new.stands)
        book.newest = "third"  # this side has not heard of it yet: it is refused, looks, and is let in
        assert (await links.to(MARK)).secret == "third"
        await until(lambda: stats.links["here"] == 1)


async def test_too_many_at_once_are_refused():
    async with linked(most=1) as (relay, _, home, *_):
        call = asyncio.create_task(relay.poll(SID, Poll()))
        await until(lambda: home.waiting)
        with pytest.raises(Refused) as refused:
            await relay.poll(SID, Poll())
        assert refused.value.status == 503
        home.waiting[SID].set_result(b"6")
        await call


async def test_an_answer_that_does_not_come_is_given_up():
    async with linked(timeout_s=0.2) as (relay, _, home, _, stats, _):
        with pytest.raises(Refused) as refused:
            await relay.poll(SID, Poll())
        assert refused.value.code == UNKNOWN_SID
        await until(lambda: home.lost_sids)
        assert stats.passed_on == {("poll", "late"): 1}


async def test_who_waits_is_answered_when_this_node_closes():
    async with linked() as (relay, _, home, *_):
        call = asyncio.create_task(relay.poll(SID, Poll()))
        await until(lambda: home.waiting)
        await relay.close_soon()
        assert await call == b"6"
