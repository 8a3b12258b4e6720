"""How each figure is taken. A scenario is one run of one peer, on servers started for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import inboxes, passing, second_device
from tests.bench.machine import LOAD_CORE, SERVER_CORE, cpu_s, rss_bytes, waited_s, writes
from tests.bench.peers.peer import Client, Node, Peer, Target
from tests.bench.processes import BenchError, Process, Processes, python_module
from tests.bench.progress import Progress


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    runs: int
    growth_runs: int
    paced_s: float
    ingest_s: float
    sockets: int = 1_000
    idle_sockets: int = 5_000
    many_users: int = 15_000
    crowds: tuple[int, ...] = (5_000, 18_000)
    """Idle connections of P9."""
    ping_intervals: int = 2
    """Over how many of them P9 is taken: each connection is pinged as often."""
    waiting: int = 10
    """Messages that wait for each socket in P2 and P3: what the goals were set with, and the same for all."""
    other_fanout: tuple[int, ...] = (1, 100)
    other_unicast: tuple[int, ...] = (1,)
    """Further depths, shown beside: where waiting messages leave in one write the depth makes the figure."""


FULL = Plan(runs=5, growth_runs=3, paced_s=8, ingest_s=5)
SHORT = Plan(runs=1, growth_runs=1, paced_s=4, ingest_s=3, ping_intervals=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one figure."""

    key: str
    value: float
    note: str = ""


class Watch:
    """What a node has used since this was made, and whether it had its core to itself."""

    def __init__(self, node: Node) -> None:
        self._pid = node.process.pid
        self._cpu_s, self._waited_s, self._at = cpu_s(self._pid), waited_s(self._pid), time.monotonic()

    def cpu_s(self) -> float:
        """CPU seconds since then."""
        return cpu_s(self._pid) - self._cpu_s

    def note(self) -> str:
        """Says so when other processes were on the node's core for more than a twentieth of the time."""
        share = (waited_s(self._pid) - self._waited_s) / (time.monotonic() - self._at)
        return f"contended: waited {share:.0%} of the time for its core" if share > 0.05 else ""


@dataclass(slots=True)
class Stage:
    """What a run has at hand; all of it was started for this run."""

    peer: Peer
    processes: Processes
    plan: Plan
    progress: Progress
    wanted: frozenset[str]

    def wants(self, yardstick: str) -> bool:
        """Whether this yardstick is asked for."""
        return yardstick in self.wanted

    def load(self) -> Process:
        """A load client."""
        return self.processes.start("load", *python_module("tests.bench.load"), core=LOAD_CORE, pipes=True)

    def publisher(self, port: int, connections: int, requests: Sequence[str]) -> Process:
        """A publisher with its connections open."""
        process = self.processes.start(
            "publisher", *python_module("tests.bench.publisher"), core=LOAD_CORE, pipes=True
        )
        process.call("prepare", port=port, connections=connections, requests=list(requests))
        return process

    def connect(self, load: Process, node: Node, clients: Sequence[Client], *, at_once: int = 64) -> None:
        """Connects them all, or raises."""
        packets = self.peer.connect_packets(clients)
        self.connect_packets(load, node, packets, at_once=at_once)

    def connect_packets(
        self, load: Process, node: Node, packets: Sequence[str], *, at_once: int = 64
    ) -> None:
        """Connects with packets that were made beforehand, or raises."""
        reply = load.call(
            "connect", port=node.port, packets=list(packets), at_once=at_once, dialect=self.peer.dialect
        )
        if reply["failed"]:
            raise BenchError(f"{reply['failed']} did not connect: {reply['failure']}\n{node.process.log()}")

    def warm_up(self, load: Process, a: Node, targets: Sequence[Target], deliveries: int) -> None:
        """Sends from A until it arrives: only then B's subscription is known to stand."""
        deadline = time.monotonic() + 15
        while True:
            load.call("reset")
            self.peer.flood(a, targets, len(targets))
            if load.call("wait", count=deliveries, within_s=3)["count"] >= deliveries:
                return
            if time.monotonic() > deadline:
                raise BenchError(f"nothing arrives\n{a.process.log()}")

    def backlog(
        self, load: Process, a: Node, b: Node, targets: Sequence[Target], *, n: int, each: int
    ) -> float:
        """B's CPU seconds per delivery over `n` messages (of `each` deliveries) that waited for it in Redis.

        B is stopped while A publishes. So neither A, nor Redis, nor the core they share with the load client
        is what limits B; and B finds as much to do at once as it can take. `n` is the same for every peer.
        """
        used = 0.0
        rounds = max(1, self.peer.rounds * 10_000 // (n * each))
        for _ in range(rounds):
            load.call("reset")
            b.process.pause()
            try:
                self.peer.flood(a, targets, n)
                before = cpu_s(b.process.pid)
            finally:
                b.process.resume()
            reply = load.call("wait", count=n * each, within_s=90)
            used += cpu_s(b.process.pid) - before
            _all_arrived({"refused": 0}, reply, n * each)
        return used / (rounds * n * each)


Scenario = Callable[[Stage], Iterator[Reading]]


def fanout(stage: Stage) -> Iterator[Reading]:
    """P1 and P2: publisher on A, 1,000 websockets in one room on B."""
    peer, plan = stage.peer, stage.plan
    hall = [Target("room", "hall")]
    a, b, load = peer.start(core=LOAD_CORE), peer.start(core=SERVER_CORE), stage.load()
    stage.connect(load, b, [Client(f"user-{i}", "hall") for i in range(plan.sockets)])
    stage.warm_up(load, a, hall, plan.sockets)
    if stage.wants("P1"):
        publisher = stage.publisher(a.http_port, 8, [peer.request(hall[0])])
        _one_by_one(load, publisher, plan, seconds=1)
        watch = Watch(b)
        written = writes(b.process.pid)
        deliveries = _one_by_one(load, publisher, plan, seconds=plan.paced_s)
        used, note = watch.cpu_s(), watch.note()
        per_delivery = (writes(b.process.pid) - written) / deliveries
        # A peer whose loop uses send(2) shows next to no writes: that says nothing about it.
        if 0.1 < per_delivery < 0.95:
            raise BenchError(f"P1: {per_delivery:.2f} writes per delivery: messages met")
        yield Reading("P1", used / deliveries * 1e6, note)
    if stage.wants("P2"):
        for depth in (plan.waiting, *plan.other_fanout):
            per_delivery_s = stage.backlog(load, a, b, hall, n=depth, each=plan.sockets)
            yield Reading("P2" if depth == plan.waiting else f"P2 with {depth}", 1 / per_delivery_s)


def unicast(stage: Stage) -> Iterator[Reading]:
    """P3 and P5: publisher on A, 1,000 users with a websocket each on B."""
    peer, plan = stage.peer, stage.plan
    users = [Target("user", f"user-{i}") for i in range(plan.sockets)]
    a, b, load = peer.start(core=LOAD_CORE), peer.start(core=SERVER_CORE), stage.load()
    stage.connect(load, b, [Client(user.name) for user in users])
    stage.warm_up(load, a, users, plan.sockets)
    publisher = stage.publisher(a.http_port, 64, [peer.request(user, stamp=True) for user in users])
    publisher.call("paced", rate_hz=1000, seconds=1)
    load.call("wait", count=2 * plan.sockets, within_s=10)
    load.call("reset", stamped=True)
    watch = Watch(b)
    reply = publisher.call("paced", rate_hz=1000, seconds=plan.paced_s)
    arrived = load.call("wait", count=reply["sent"], within_s=30)
    used, waited = watch.cpu_s(), watch.note()
    _all_arrived(reply, arrived, reply["sent"])
    ages = load.call("latencies")
    note = "; ".join(filter(None, (_pace(reply, plan), waited)))
    if stage.wants("P3"):
        yield Reading("P3 paced", used / reply["sent"] * 1e6, note)
    if stage.wants("P5"):
        yield Reading("P5 p50", ages["p50"] / 1e3, note)
        yield Reading("P5 p99", ages["p99"] / 1e3, note)
    if stage.wants("P3"):
        for depth in (plan.waiting, *plan.other_unicast):
            waiting = min(depth, peer.most_waiting // len(users))
            per_message_s = stage.backlog(load, a, b, users, n=waiting * len(users), each=1)
            note = "" if waiting == depth else f"{waiting} waiting for each: beyond that some are thrown away"
            key = "P3 flat out" if depth == plan.waiting else f"P3 with {depth}"
            yield Reading(key, per_message_s * 1e6, note)


def ingest(stage: Stage) -> Iterator[Reading]:
    """P4: how much one node takes in. Only for a peer that answers when the message is kept."""
    peer, plan = stage.peer, stage.plan
    if not peer.durable:
        return
    node = peer.start(core=SERVER_CORE)
    users = [Target("user", f"user-{i}") for i in range(plan.sockets)]
    rows = [("P4 single", [peer.request(user, inbox=False) for user in users], 32, 1)]
    if peer.inboxes:
        rows.append(("P4 inbox", [peer.request(user) for user in users], 32, 1))
    rows.append(("P4 batch", [peer.batch_request(users)], 4, len(users)))
    for key, requests, connections, each in rows:
        publisher = stage.publisher(node.http_port, connections, requests)
        publisher.call("flat_out", seconds=1)
        watch = Watch(node)
        reply = publisher.call("flat_out", seconds=plan.ingest_s)
        used, waited = watch.cpu_s(), watch.note()
        if not reply["accepted"]:
            raise BenchError(f"nothing was accepted: {reply['refusal']}")
        wall = reply["accepted"] * each / reply["seconds"]
        note = f"{wall:,.0f}/s by the clock" + (f", {reply['refused']} refused" if reply["refused"] else "")
        yield Reading(key, reply["accepted"] * each / used, "; ".join(filter(None, (note, waited))))
        publisher.end()


def connections(stage: Stage) -> Iterator[Reading]:
    """P6 and P7: 5,000 connect, each in a room of 100, and then do nothing."""
    peer, plan = stage.peer, stage.plan
    node, load = peer.start(core=SERVER_CORE, ping_interval_s=300), stage.load()
    first = [Client(f"first-{i}", f"first-{i % 5}") for i in range(500)]
    # These stay open: they warm the code up and leave no freed memory that the others would then be given.
    stage.connect(load, node, first)
    packets = peer.connect_packets(
        [Client(f"user-{i}", f"room-{i // 100}") for i in range(plan.idle_sockets)]
    )
    peer.collect(node)
    _settle(node.process.pid)
    resident, watch = rss_bytes(node.process.pid), Watch(node)
    stage.connect_packets(load, node, packets)
    if stage.wants("P6"):
        yield Reading("P6", len(packets) / watch.cpu_s(), watch.note())
    if stage.wants("P7"):
        _settle(node.process.pid)
        peer.collect(node)
        _settle(node.process.pid)
        yield Reading("P7", (rss_bytes(node.process.pid) - resident) / len(packets) / 1024)


def idling(stage: Stage) -> Iterator[Reading]:
    """P9: what connections cost that do nothing but answer a ping every 25 seconds.

    What the node uses without any is taken off, so that the two crowds can be compared.
    """
    peer, plan, interval_s = stage.peer, stage.plan, 25
    for crowd in plan.crowds:
        with Processes() as processes:
            inner = Stage(peer, processes, plan, stage.progress, stage.wanted)
            stage.progress.doing(f"{crowd:,} idle")
            node, load = peer.start(core=SERVER_CORE, ping_interval_s=interval_s), inner.load()
            _settle(node.process.pid)
            alone = _idle_rate(node.process.pid, seconds=5)
            inner.connect(load, node, [Client(f"user-{i}", f"room-{i // 100}") for i in range(crowd)])
            _settle(node.process.pid, timeout_s=10)
            watch, started = Watch(node), time.monotonic()
            time.sleep(interval_s * plan.ping_intervals)
            rate, note = watch.cpu_s() / (time.monotonic() - started), watch.note()
            lost = load.call("wait", count=0, within_s=1)["lost"]
            if lost:
                raise BenchError(f"{lost} of {crowd} were lost while idle")
            node.process.end()
        yield Reading(f"P9 at {crowd:,}", max(0.0, rate - alone) / crowd * 1e6, note)


def growth(stage: Stage) -> Iterator[Reading]:
    """P8: what a disconnect costs by the number of users, and what the other nodes' traffic costs."""
    peer, plan = stage.peer, stage.plan
    costs = []
    for users in (1_000, plan.many_users):
        stage.progress.doing(f"{users:,} users")
        with Processes() as processes:
            inner = Stage(peer, processes, plan, stage.progress, stage.wanted)
            node, load = peer.start(core=SERVER_CORE, ping_interval_s=300), inner.load()
            inner.connect(load, node, [Client(f"user-{i}") for i in range(users)])
            closed = 500
            _settle(node.process.pid)
            idle = _idle_rate(node.process.pid)
            before, started = cpu_s(node.process.pid), time.monotonic()
            load.call("close", n=closed)
            _settle(node.process.pid)
            used = cpu_s(node.process.pid) - before - idle * (time.monotonic() - started)
            costs.append(used / closed * 1e6)
            node.process.end()
        yield Reading("P8 at 1,000" if users == 1_000 else "P8 at 15,000", costs[-1])
    yield Reading("P8 growth", costs[1] / costs[0])
    stage.progress.doing("other nodes' rooms")
    a, b, load = peer.start(core=LOAD_CORE), peer.start(core=SERVER_CORE, ping_interval_s=300), stage.load()
    quiet = [Target("room", "quiet")]
    stage.connect(load, b, [Client(f"user-{i}", "quiet") for i in range(plan.sockets)])
    stage.warm_up(load, a, quiet, plan.sockets)
    busy = [peer.request(Target("room", f"busy-{i}")) for i in range(50)]
    publisher = stage.publisher(a.http_port, 64, busy)
    _settle(b.process.pid)
    idle = _idle_rate(b.process.pid)
    before, started = cpu_s(b.process.pid), time.monotonic()
    reply = publisher.call("paced", rate_hz=1000, seconds=plan.paced_s)
    used = cpu_s(b.process.pid) - before - idle * (time.monotonic() - started)
    yield Reading("P8 others", max(0.0, used / reply["sent"] * 1e6), _pace(reply, plan))


def inbox(stage: Stage) -> Iterator[Reading]:
    """P10: what an inbox costs Redis, how soon it is listed, and how soon a mark shows on a second device.

    Only for ours: no peer has one.
    """
    for key, value in inboxes.measure():
        stage.progress.doing(key)
        yield Reading(key, value)
    stage.progress.doing("P10 second device")
    a, b = stage.peer.start(core=LOAD_CORE), stage.peer.start(core=SERVER_CORE)
    yield Reading("P10 second device", second_device.mark_p99_ms(stage.peer, a, b))


def passing_on(stage: Stage) -> Iterator[Reading]:
    """P13: requests that reach another node than the session's, beside those that do not. Only for ours."""
    peer = stage.peer
    nodes = [peer.start(core=core, ping_interval_s=300) for core in (SERVER_CORE, LOAD_CORE, LOAD_CORE)]
    local_us, passed_on_us = passing.polls_us(peer, *nodes[:2])
    yield Reading("P13 local", local_us)
    yield Reading("P13 poll", passed_on_us / local_us, f"{passed_on_us:.0f} us")
    sticky, spread = passing.connects_per_cpu_s(peer, nodes, rounds=stage.plan.growth_runs)
    yield Reading("P13 sticky", sticky)
    yield Reading("P13 connects", spread / sticky, f"{spread:.0f}/s")


SCENARIOS: dict[str, tuple[Scenario, frozenset[str]]] = {
    "fan-out": (fanout, frozenset({"P1", "P2"})),
    "unicast": (unicast, frozenset({"P3", "P5"})),
    "ingest": (ingest, frozenset({"P4"})),
    "connections": (connections, frozenset({"P6", "P7"})),
    "idling": (idling, frozenset({"P9"})),
    "growth": (growth, frozenset({"P8"})),
    "inbox": (inbox, frozenset({"P10"})),
    "passing on": (passing_on, frozenset({"P13"})),
}


def _one_by_one(load: Process, publisher: Process, plan: Plan, *, seconds: float) -> int:
    """40 messages/s, and none before the one before it has arrived everywhere; answers the deliveries.

    When a core is contended, messages that leave by the clock alone meet in the node, and one that merges
    what waits would be measured at that instead of at fan-out.
    """
    load.call("reset")
    started, total = time.monotonic(), round(40 * seconds)
    for i in range(total):
        time.sleep(max(0.0, started + i / 40 - time.monotonic()))
        reply = publisher.call("flat_out", total=1)
        deliveries = (i + 1) * plan.sockets
        _all_arrived(reply, load.call("wait", count=deliveries, within_s=30), deliveries)
    return total * plan.sockets


def _all_arrived(published: dict[str, Any], arrived: dict[str, Any], deliveries: int) -> None:
    """A figure over messages that did not all arrive, or came twice, is none."""
    if published["refused"]:
        raise BenchError(f"{published['refused']} of {published['sent']} refused: {published['refusal']}")
    if arrived["count"] != deliveries or arrived["lost"]:
        raise BenchError(f"{arrived['count']} of {deliveries} arrived, {arrived['lost']} connections lost")


def _pace(published: dict[str, Any], plan: Plan) -> str:
    """Says so when A could not keep up, so that the pace was not what it should have been."""
    if published["seconds"] <= plan.paced_s * 1.05:
        return ""
    return f"the pace was not kept: {published['sent'] / published['seconds']:.0f}/s"


def _idle_rate(pid: int, *, seconds: float = 2) -> float:
    """CPU seconds per second of a process that has nothing to do."""
    before, started = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_s(pid) - before) / (time.monotonic() - started)


def _settle(pid: int, *, timeout_s: float = 60) -> None:
    """Until the process has used less than 2 % of a core for a second: it has done what it had to do."""
    deadline, calm = time.monotonic() + timeout_s, 0
    before = cpu_s(pid)
    while calm < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
        now = cpu_s(pid)
        calm = calm + 1 if now - before < 0.004 else 0
        before = now
