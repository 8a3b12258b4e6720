"""Sessions that leave: handed over in one step with all that was not sent, or here as if nothing had been."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from notify.backplane.cuts import Cuts
from notify.domain.errors import Unavailable
from notify.domain.offset import Offset
from notify.gateway.auth.authenticator import Identity
from notify.gateway.http.errors import BAD_REQUEST, TAKEN, UNKNOWN_SID, Refused
from notify.gateway.sessions import moving_out as moving_out_module
from notify.gateway.sessions.moved import Description, HandedOver, Order
from notify.gateway.sessions.moving_out import MovingOut
from notify.gateway.socketio.server import SocketServer
from notify.protocol.engineio import Wire
from tests.gateway.edge import running
from tests.support.waiting import until


class Poll:
    """A GET whose client stays."""

    gone = False

    def watch(self, answer):
        """It does not go."""


class Post:
    """A POST of a PONG."""

    binary = False

    async def read(self, limit):
        return b"3"


class Leaving:
    """One long-polling session of a server, and what another node may ask about it."""

    def __init__(self, server):
        self.server = server
        self.engine = server.eio
        self.cuts = Cuts()
        self.published: list[Any] = []
        self.busy: set[Any] = set()
        self.fault: Exception | None = None
        self.deaf = False
        self.on_cut = lambda: None
        self.out = MovingOut(
            engine=server.eio,
            manager=server.manager,
            rooms=SimpleNamespace(busy=lambda member: member in self.busy),  # type: ignore[arg-type]
            expiry=SimpleNamespace(discard=lambda member: None, warned=lambda member: True),  # type: ignore[arg-type]
            cuts=self.cuts,
            publish_cut=self.publish_cut,
            node_topic="topic:{}".format,
            node_id=lambda: "here",
        )

    async def publish_cut(self, topics, token):
        self.published.append(topics)
        if self.fault is not None:
            raise self.fault
        if not self.deaf:
            self.cuts.hear(b"cut " + token.encode())
        self.on_cut()

    async def open(self, edge):
        self.poller = await edge.open_polling()
        self.sid = self.poller.opened["sid"]
        await self.poller.post("40")
        await self.poller.poll()
        (self.member,) = self.socket.members
        self.member.start = Offset("epoch", 1, 0)
        self.member.identity = Identity("ada", 2_000_000_000, 1)

    @property
    def socket(self) -> Any:
        return self.engine.sockets[self.sid]

    def emit(self, text):
        """What is live for the member."""
        self.server.manager.emit_local(text, None, "/", self.member.sid)

    async def described(self):
        self.out.may_move(self.sid, "there")
        await self.out.probe(self.sid, "there")
        return Description.decode(await self.out.describe(self.sid, "there"))

    async def take(self, description):
        body = Order("there", "token", description.digest).encode()
        await self.out.cut(self.sid, "there", body)
        return HandedOver.decode(await self.out.take(self.sid, "there"))


@asynccontextmanager
async def leaving():
    server = SocketServer(keep_environ=False)
    found = Leaving(server)

    @server.on("connect")
    def connected(sid, environ):
        """Anybody may."""

    async with running(server) as edge:
        await found.open(edge)
        yield found


def texts(wires):
    return [bytes(part).decode() for wire in wires for part in wire.parts]


async def test_what_was_not_sent_goes_along_and_nothing_stays():
    async with leaving() as found:
        found.emit("one")
        description = await found.described()
        found.emit("two")
        found.on_cut = lambda: (found.emit("behind the cut"), found.socket.send(Wire(b"430[]")))
        socket = found.socket
        handed = await found.take(description)
        assert texts(handed.wires) == ['42["one"]', '42["two"]', "430[]"]
        assert found.published == [["topic:here", "topic:there"]]
        assert [member.sid for member in description.members] == [found.member.sid]
        assert (description.node, found.sid in found.engine.sockets) == ("here", False)
        assert (socket.reason, socket.members, found.engine.stats.closed) == ("moved", (), {"moved": 1})
        assert found.engine.stats.polling_connections == 0
        assert await found.poller.gone()


async def stays(found, description, *, code=BAD_REQUEST):
    with pytest.raises(Refused) as refused:
        await found.take(description)
    assert refused.value.code == code
    return refused.value.message


async def test_one_that_has_changed_stays_with_everything_in_order():
    async with leaving() as found:
        found.emit("one")
        description = await found.described()
        found.emit("two")

        def change():
            found.emit("three")
            found.member.granted = ("room",)
            found.emit("four")

        found.on_cut = change
        assert "changed" in await stays(found, description)
        found.emit("five")
        assert found.member.replay_buffer is None
        again = Description.decode(await found.out.describe(found.sid, "there"))
        found.on_cut = lambda: None
        handed = await found.take(again)
        assert texts(handed.wires) == [f'42["{text}"]' for text in ("one", "two", "three", "four", "five")]


async def test_one_whose_cut_was_not_heard_there_goes_on_here_until_the_next():
    async with leaving() as found:
        description = await found.described()
        found.emit("one")
        order = Order("there", "token", description.digest).encode()
        await found.out.cut(found.sid, "there", order)
        found.emit("two")
        with pytest.raises(Refused):
            await found.out.take(found.sid, "elsewhere")
        assert Description.decode(await found.out.describe(found.sid, "there")) == description
        with pytest.raises(Refused):
            await found.out.take(found.sid, "there")  # without a cut
        await found.out.cut(found.sid, "there", order)
        found.emit("three")
        await found.out.cut(found.sid, "there", order)
        found.emit("four")
        handed = HandedOver.decode(await found.out.take(found.sid, "there"))
        assert texts(handed.wires) == ['42["one"]', '42["two"]', '42["three"]']
        assert handed.warned == ["/"]


async def test_one_in_no_namespace_leaves_without_a_cut_unless_it_connects():
    async with leaving() as found:
        await found.poller.post("41")
        description = await found.described()
        assert not description.members
        found.socket.text_received("40")
        with pytest.raises(Refused):
            await found.out.take(found.sid, "there")
        found.socket.text_received("41")
        await found.out.describe(found.sid, "there")
        handed = HandedOver.decode(await found.out.take(found.sid, "there"))
        assert texts(handed.wires)[0].startswith('40{"sid":')
        assert not found.published


@pytest.mark.parametrize("fault", [Unavailable("Redis is away"), None])
async def test_without_a_cut_it_stays(monkeypatch, fault):
    monkeypatch.setattr(moving_out_module, "CUT_S", 0.05)
    async with leaving() as found:
        description = await found.described()
        found.emit("one")
        found.fault = fault
        if fault is None:
            found.deaf = True
        await stays(found, description)
        assert not len(found.cuts)
        found.out.stays(found.sid, "there")
        assert await found.poller.poll() == '42["one"]'


async def test_it_leaves_once_what_the_client_has_sent_is_handled():
    async with leaving() as found:
        going_on = asyncio.Event()

        @found.server.on("work")
        async def work(sid):
            await found.socket.drained()  # what is queued no poll will fetch any more
            await going_on.wait()
            return "done"

        found.emit("one")
        await found.poller.post('427["work"]')
        describing = asyncio.create_task(found.described())
        await until(lambda: found.socket.queue is None)
        assert not describing.done()
        going_on.set()
        found.busy = {found.member}
        await until(lambda: not found.socket.running)
        assert not describing.done()
        found.busy = set()
        handed = await found.take(await describing)
        assert texts(handed.wires) == ['42["one"]', '437["done"]']


async def test_one_that_does_not_come_to_rest_stays(monkeypatch):
    monkeypatch.setattr(moving_out_module, "REST_S", 0.05)
    async with leaving() as found:
        found.busy = {found.member}
        found.emit("one")
        with pytest.raises(Refused, match="busy"):
            await found.described()
        found.out.stays(found.sid, "there")
        assert await found.poller.poll() == '42["one"]'


async def test_it_is_one_node_s_to_ask_for_at_a_time():
    async with leaving() as found:
        found.out.may_move(found.sid, "there")
        with pytest.raises(Refused) as refused:
            found.out.may_move(found.sid, "elsewhere")
        assert refused.value.code == TAKEN
        with pytest.raises(Refused) as refused:
            await found.out.describe(found.sid, "elsewhere")
        assert refused.value.code == UNKNOWN_SID
        found.out.stays(found.sid, "elsewhere")
        assert found.socket.probe is not None
        found.out.stays(found.sid, "there")
        assert found.socket.probe is None
        found.out.may_move(found.sid, "elsewhere")
        for unknown in ("x", found.sid[:-1]):
            with pytest.raises(Refused) as refused:
                found.out.may_move(unknown, "there")
            assert refused.value.code == UNKNOWN_SID


async def test_polls_do_not_wait_while_a_websocket_elsewhere_is_to_take_over():
    async with leaving() as found:
        poll = asyncio.create_task(found.poller.poll())
        await until(lambda: found.socket.polling.waits)
        found.out.may_move(found.sid, "there")
        assert found.socket.polling.waits
        await found.out.probe(found.sid, "there")
        assert await poll == "6"
        assert await found.poller.poll() == "6"
        found.out.stays(found.sid, "there")
        poll = asyncio.create_task(found.poller.poll())
        await until(lambda: found.socket.polling.waits)
        found.emit("one")
        assert await poll == '42["one"]'


@pytest.mark.parametrize("moves", [True, False])
async def test_requests_behind_the_word_that_the_client_has_gone_over_wait_for_what_becomes_of_it(moves):
    async with leaving() as found:
        description = await found.described()
        poll = asyncio.create_task(found.engine.poll(found.sid, Poll()))
        post = asyncio.create_task(found.engine.post(found.sid, Post()))
        found.emit("one")
        await asyncio.sleep(0)
        if moves:
            assert texts((await found.take(description)).wires) == ['42["one"]']
            refusals = await asyncio.gather(poll, post, return_exceptions=True)
            assert [getattr(refusal, "code", None) for refusal in refusals] == [UNKNOWN_SID, UNKNOWN_SID]
        else:
            found.out.stays(found.sid, "there")
            assert await poll == b'42["one"]'
            await post


async def test_a_poll_that_came_behind_the_websocket_is_not_ended_before_its_next_word():
    async with leaving() as found:
        found.out.may_move(found.sid, "there")
        poll = asyncio.create_task(found.poller.get())
        await until(lambda: found.socket.polling.waits)
        await found.out.probe(found.sid, "there")
        assert found.socket.polling.waits
        description = Description.decode(await found.out.describe(found.sid, "there"))
        assert not found.socket.polling.waits
        found.emit("one")
        assert texts((await found.take(description)).wires) == ['42["one"]']
        assert (await poll)[0] == 400


async def test_who_comes_for_one_that_has_just_gone_is_told_that_it_is_taken():
    async with leaving() as found:
        await found.take(await found.described())
        with pytest.raises(Refused) as refused:
            found.out.may_move(found.sid, "elsewhere")
        assert refused.value.code == TAKEN


async def test_its_heartbeat_goes_along():
    async with leaving() as found:
        handed = await found.take(await found.described())
        assert handed.beat is not None
        assert not handed.beat.awaiting_pong
        assert 0 < handed.beat.left_s <= found.engine.ping_interval


@pytest.mark.parametrize("gives_up", [False, True])
async def test_who_waits_to_be_let_in_goes_on_polling(gives_up):
    async with leaving() as found:
        found.socket.connecting = ("one",)
        found.out.may_move(found.sid, "there")
        probing = asyncio.create_task(found.out.probe(found.sid, "there"))
        poll = asyncio.create_task(found.poller.poll())
        await until(lambda: found.socket.polling.waits)
        found.emit("one")
        assert await poll == '42["one"]'
        assert not probing.done()
        if gives_up:
            found.out.stays(found.sid, "there")
            with pytest.raises(Refused):
                await probing
        found.socket.connecting = ()
        if not gives_up:
            assert await probing == b""
            assert await found.poller.poll() == "6"


@pytest.mark.parametrize("end", ["close_transport", "abort", "stays"])
async def test_one_that_ends_on_its_way_is_not_handed_over(end):
    async with leaving() as found:
        description = await found.described()

        def over():
            if end == "stays":
                found.out.stays(found.sid, "there")
            else:
                getattr(found.socket, end)("over")

        found.on_cut = over
        await stays(found, description, code=UNKNOWN_SID)
        assert (found.sid in found.engine.sockets) is (end == "stays")
