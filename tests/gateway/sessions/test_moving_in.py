"""Sessions that come: deaf until the cut, whole from there on, and gone without a trace when they do not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from notify.backplane.acknowledgements import MOVED_ACKS_FROM, AckUnderWay
from notify.backplane.cuts import Cuts
from notify.backplane.delivery import EventVariant
from notify.backplane.membership import Member
from notify.domain.channel import Channel
from notify.domain.errors import Invalid, TooMany, Unavailable
from notify.domain.offset import Offset
from notify.gateway.auth.authenticator import Identity
from notify.gateway.engineio.heartbeat import Beat
from notify.gateway.sessions import moving_in as moving_in_module
from notify.gateway.sessions.moved import Description, HandedOver, MovedMember, Order
from notify.gateway.sessions.moving_in import MovingIn
from notify.gateway.socketio.server import SocketServer
from notify.protocol.engineio import Wire
from tests.gateway.edge import running

SID = "engine-sid"


def member(sid="ada-sid", namespace="/", pid="pid"):
    channels = (Channel(namespace, "all"), Channel(namespace, "room", "lobby"))
    identity = Identity("ada", 2_000_000_000, 1)
    return MovedMember(
        sid, namespace, pid, identity, True, Offset("e", 1, 0), channels, {"lobby": "2-0"}, ("lobby",), 7
    )


class WebSocket:
    """What becomes of the client's websocket."""

    def __init__(self):
        self.written = b""
        self.resumed = False
        self.buffered = 0

    def hand_to(self, owner):
        self.owner = owner

    def write(self, frames):
        self.written += frames

    def begin_interval(self):
        pass

    def resume_reading(self):
        self.resumed = True

    def leave(self):
        """The server stops."""

    @property
    def gone(self):
        return True


class Coming:
    """A node, and what it is asked by a session that comes."""

    def __init__(self, server):
        self.server = server
        self.manager = server.manager
        self.manager._return_callback = self.acknowledged
        self.cuts = Cuts()
        self.acks: list[Any] = []
        self.moved: list[Any] = []
        self.lost: list[Any] = []
        self.expected: list[Any] = []
        self.ours = True
        self.full = False
        self.scheduled: list[dict[str, bool]] = []
        self.websocket: Any = WebSocket()
        self.into = MovingIn(
            server=server,
            manager=self.manager,
            admission=self,  # type: ignore[arg-type]
            arrivals=self,  # type: ignore[arg-type]
            sessions=self,  # type: ignore[arg-type]
            inbox_watch=SimpleNamespace(expect=lambda *due: self.expected.append(due)),  # type: ignore[arg-type]
            cuts=self.cuts,
            node_id=lambda: "here",
            now_ms=lambda: 5,
        )
        self.expiry = SimpleNamespace(schedule=lambda *_, **how: self.scheduled.append(how))

    async def acknowledged(self, *args):
        self.acks.append(args)

    def check_limits(self, namespace, identity):
        if self.full:
            raise TooMany("full")

    def variant(self, namespace, *, recoverable):
        return EventVariant(namespace, with_offset=recoverable)

    async def subscribed(self, member):
        """At once."""

    def session_of(self, member):
        return member.sid

    async def move(self, pid, session, *, former_node, over):
        self.moved.append((pid, session, former_node, over))
        return self.ours

    def transport_lost(self, member, reason):
        self.lost.append(member.pid)
        self.manager.expel(member)

    def emit(self, text, **options):
        self.manager.emit_local(text, 1, "/", "ada-sid", **options)

    def enter(self, *members):
        description = Description("there", members or (member(),))
        return self.into.enter(SID, description.encode(), address="192.0.2.1")

    def cut(self, newcomer):
        self.cuts.hear(b"cut " + Order.decode(newcomer.order).token.encode())

    async def taken(self, *wires, acks=()):
        newcomer = self.enter()
        await newcomer.subscribed()
        self.cut(newcomer)
        await newcomer.take(HandedOver(wires, acks).encode())
        return newcomer

    def nothing_is_left(self):
        return not (
            self.manager.books or self.into.under_way or len(self.cuts) or len(self.server.eio._unconnected)
        )


@asynccontextmanager
async def coming():
    server = SocketServer(keep_environ=False)
    async with running(server):
        found = Coming(server)
        yield found


def sent(*texts):
    return b"".join(Wire(text.encode()).frames for text in texts)


async def test_it_is_deaf_until_the_cut_and_what_was_not_sent_goes_first():
    async with coming() as found:
        newcomer = found.enter()
        await newcomer.subscribed()
        found.emit("before")
        (entered,) = found.manager.room("/", "lobby").members
        assert (entered.deaf, entered.state) == (True, Member.PENDING)
        assert newcomer.needs_cut
        order = Order.decode(newcomer.order)
        assert (order.node, order.digest) == ("here", Description("there", (member(),)).digest)
        found.cut(newcomer)
        found.emit("behind")
        await newcomer.take(HandedOver([Wire(b'42["queued"]')], ()).encode())
        newcomer.complete(found.websocket, [], held=False)
        found.emit("live")
        found.server.eio.flusher.flush()
        assert found.websocket.written == sent('42["queued"]', '42["behind",1]', "2", '42["live",1]')
        assert found.websocket.resumed
        assert (entered.sid, entered.pid, entered.user, entered.since) == ("ada-sid", "pid", "ada", 7)
        assert (entered.start, entered.join_positions) == (Offset("e", 1, 0), {"lobby": "2-0"})
        assert found.moved == [("pid", "ada-sid", "there", False)]
        assert found.expected == [("ada", 5)]
        stats = found.server.eio.stats
        assert (stats.upgrades, stats.websocket_connections) == (1, 1)
        assert not found.into.under_way


async def test_one_whose_heartbeat_is_known_is_not_pinged_before_its_time_nor_warned_twice():
    async with coming() as found:
        newcomer = found.enter()
        await newcomer.subscribed()
        found.cut(newcomer)
        await newcomer.take(HandedOver([Wire(b'42["queued"]')], (), Beat(False, 10.0), ["/"]).encode())
        newcomer.complete(found.websocket, [], held=False)
        assert found.websocket.written == sent('42["queued"]')
        (socket,) = found.server.eio.sockets.values()
        assert not socket.awaiting_pong
        assert found.scheduled == [{"warned": True}]
        assert 9.0 < found.server.eio.heartbeat.beat_of(socket).left_s <= 10.0


async def test_what_the_client_has_sent_meanwhile_comes_after_that_and_in_order():
    async with coming() as found:
        heard = []

        @found.server.on("up")
        def up(sid, number):
            heard.append(number)
            return number

        newcomer = await found.taken(Wire(b'42["queued"]'))
        newcomer.complete(found.websocket, ['427["up",1]', '428["up",2]'], held=False)
        found.server.eio.flusher.flush()
        assert heard == [1, 2]
        assert found.websocket.written == sent('42["queued"]', "2", "437[1]", "438[2]")


async def test_acknowledgements_go_to_who_has_asked_and_ids_are_not_given_out_twice():
    async with coming() as found:
        newcomer = found.enter()
        await newcomer.subscribed()
        found.cut(newcomer)
        found.emit("asked here", callback=lambda: found.acks.append("here"))
        under_way = AckUnderWay(1, "host", "ada-sid", "/", 9)
        await newcomer.take(HandedOver((), [("/", under_way)]).encode())
        newcomer.complete(found.websocket, [], held=False)
        found.server.eio.flusher.flush()
        assert f'42{MOVED_ACKS_FROM}["asked here",1]'.encode() in found.websocket.written
        assert found.manager.acks_under_way("ada-sid") == [under_way]
        for ack in ('431["yes"]', f"43{MOVED_ACKS_FROM}[]"):
            found.server.eio.sockets[SID].text_received(ack)
        async with asyncio.timeout(5):
            while len(found.acks) < 2:
                await asyncio.sleep(0)
        assert found.acks == [("host", "ada-sid", "/", 9, "yes"), "here"]


async def test_a_cut_that_is_not_heard_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(moving_in_module, "HEAR_S", 0.05)
    async with coming() as found:
        newcomer = found.enter()
        await newcomer.subscribed()
        with pytest.raises(Unavailable):
            await newcomer.heard()
        newcomer.abandon()
        newcomer = found.enter()
        await newcomer.subscribed()
        hearing = asyncio.create_task(newcomer.heard())
        await asyncio.sleep(0)
        found.cut(newcomer)
        await hearing
        newcomer.abandon()
        assert found.nothing_is_left()


async def test_who_is_sent_away_behind_the_cut_has_no_session_any_more():
    async with coming() as found:
        newcomer = found.enter()
        await newcomer.subscribed()
        found.cut(newcomer)
        (entered,) = found.manager.room("/", "lobby").members
        entered.socket.send(Wire(b"41"))
        found.manager.expel(entered)
        await newcomer.take(HandedOver([Wire(b'42["queued"]')], ()).encode())
        assert found.moved == [("pid", "ada-sid", "there", True)]
        newcomer.complete(found.websocket, [], held=False)
        assert found.websocket.written == sent('42["queued"]', "41", "2")
        assert found.server.eio.sockets[SID].deadline is not None  # it has to connect again


async def test_one_in_no_namespace_has_to_connect_to_one():
    async with coming() as found:
        newcomer = found.into.enter(SID, Description("there", ()).encode(), address="192.0.2.1")
        await newcomer.subscribed()
        assert not newcomer.needs_cut
        await newcomer.take(HandedOver((), ()).encode())
        newcomer.complete(found.websocket, ["40"], held=False)
        assert found.server.eio.sockets[SID].deadline is not None


@pytest.mark.parametrize("heard", [False, True])
async def test_one_that_does_not_come_leaves_no_trace(heard):
    async with coming() as found:
        newcomer = found.enter()
        await newcomer.subscribed()
        if heard:
            found.cut(newcomer)
            found.emit("behind", callback=lambda: None)
        newcomer.abandon()
        newcomer.lose()
        assert found.nothing_is_left()
        assert not found.manager.callbacks
        assert not (found.moved or found.lost)


async def test_one_whose_connection_is_lost_can_be_come_back_to():
    async with coming() as found:
        newcomer = await found.taken()
        newcomer.lose()
        newcomer.abandon()
        assert found.lost == ["pid"]
        assert found.nothing_is_left()


async def test_one_that_another_connection_has_by_now_is_left_alone():
    async with coming() as found:
        found.ours = False
        newcomer = found.enter()
        await newcomer.subscribed()
        found.cut(newcomer)
        with pytest.raises(Unavailable):
            await newcomer.take(HandedOver((), ()).encode())
        newcomer.lose()
        assert found.lost == [None]
        assert found.nothing_is_left()


@pytest.mark.parametrize("what", ["gap", "slow"])
async def test_one_that_has_ended_on_its_way_is_not_completed(what):
    async with coming() as found:
        newcomer = await found.taken()
        (entered,) = found.manager.room("/", "lobby").members
        if what == "gap":
            entered.pid = None
        else:
            entered.socket.too_slow()
        with pytest.raises(Unavailable):
            newcomer.complete(found.websocket, [], held=False)
        newcomer.lose()
        assert found.nothing_is_left()


async def test_there_must_be_room_for_it_and_no_other_of_its_name():
    async with coming() as found:
        found.full = True
        with pytest.raises(TooMany):
            found.enter()
        assert found.nothing_is_left()
        found.full = False
        with pytest.raises(Invalid):
            found.enter(member(), member(sid="other"))
        assert found.nothing_is_left()
        newcomer = found.enter()
        with pytest.raises(Invalid):
            found.enter()
        with pytest.raises(Invalid):
            found.into.enter("another", Description("there", (member(),)).encode(), address="")
        (entered,) = found.manager.room("/", "lobby").members
        waiting = asyncio.create_task(found.into.arrived(entered))
        await asyncio.sleep(0)
        assert not waiting.done()
        newcomer.abandon()
        await waiting
        await found.into.arrived(entered)
        assert found.nothing_is_left()
