"""The harness measures what it says: the load client counts right, the results render."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from tests.bench.chart import as_svg
from tests.bench.figures import FIGURES, Readings, Results, times_as_good, verdict
from tests.bench.load import MARK
from tests.bench.machine import LOAD_CORE, cpu_s, rss_bytes
from tests.bench.peers.peer import SENT, http_request
from tests.bench.processes import Process, Processes, python_module
from tests.bench.publisher import STAMP_PLACE
from tests.bench.report import as_markdown, as_text


def frame(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return head + payload


class TinyServer:
    """Shakes hands as a server would and then sends what it is told, byte for byte."""

    def __init__(self, *, opening: bytes = b'0{"sid":"e"}', admission: bytes = b'40{"sid":"s"}') -> None:
        self.opening = frame(opening) if opening else b""
        self.admission = frame(admission)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            request = peer.recv(4096)
            assert b"Upgrade: websocket" in request
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + self.opening)
            peer.recv(4096)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers.append(peer)
            peer.sendall(self.admission)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(5)
        for peer in self.peers:
            peer.close()


@pytest.fixture
def server() -> Iterator[TinyServer]:
    tiny = TinyServer()
    yield tiny
    tiny.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes() as owned:
        yield owned


@pytest.fixture
def load(processes: Processes) -> Process:
    return processes.start("load", *python_module("tests.bench.load"), core=LOAD_CORE, pipes=True)


def connect(load: Process, server: TinyServer, n: int) -> None:
    reply = load.call("connect", port=server.port, packets=["40{}"] * n)
    assert reply["failed"] == 0, reply
    assert reply["open"] == n


MESSAGE = frame(b'42["notification",{"data":{"mark":"' + MARK + b'","t":"0000000000000000"}}]')


def test_every_message_is_counted_once(load: Process, server: TinyServer) -> None:
    connect(load, server, 5)
    load.call("reset")
    for peer in server.peers:
        peer.sendall(MESSAGE * 100)
    assert load.call("wait", count=500, within_s=5)["count"] == 500
    assert load.call("wait", count=501, within_s=0.2)["count"] == 500


def test_a_marker_or_a_ping_cut_in_two_is_counted_all_the_same(load: Process, server: TinyServer) -> None:
    connect(load, server, 1)
    load.call("reset")
    peer = server.peers[0]
    stream = MESSAGE + frame(b"2") + MESSAGE
    for i in range(len(stream)):
        peer.sendall(stream[i : i + 1])
        load.call("wait", count=1 << 30, within_s=0.001)  # so that each byte is a read of its own
    reply = load.call("wait", count=2, within_s=5)
    assert (reply["count"], reply["pings"]) == (2, 1)
    peer.settimeout(5)
    assert peer.recv(100) == b"\x81\x81\x00\x00\x00\x003"


def test_centrifugo_is_understood_too(load: Process) -> None:
    tiny = TinyServer(opening=b"", admission=b'{"id":1,"connect":{"client":"c","ping":25,"pong":true}}')
    try:
        reply = load.call("connect", port=tiny.port, packets=["{}"], dialect="centrifugo")
        assert (reply["open"], reply["failed"]) == (1, 0), reply
        load.call("reset")
        peer = tiny.peers[0]
        push = b'{"push":{"channel":"user:ada","pub":{"data":{"mark":"' + MARK + b'"},"offset":1}}}'
        stream = frame(b"{}") + frame(push + b"\n" + push + b"\n{}")
        for i in range(len(stream)):
            peer.sendall(stream[i : i + 1])
            load.call("wait", count=1 << 30, within_s=0.001)  # so that each byte is a read of its own
        reply = load.call("wait", count=2, within_s=5)
        assert (reply["count"], reply["pings"]) == (2, 2)
        peer.settimeout(5)
        assert peer.recv(100) == b"\x81\x82\x00\x00\x00\x00{}" * 2
    finally:
        tiny.close()


def test_centrifugo_says_why_it_refuses(load: Process) -> None:
    tiny = TinyServer(opening=b"", admission=b'{"id":1,"error":{"code":109,"message":"token expired"}}')
    try:
        reply = load.call("connect", port=tiny.port, packets=["{}"], dialect="centrifugo")
    finally:
        tiny.close()
    assert reply["failed"] == 1
    assert "token expired" in reply["failure"]


def test_a_lost_connection_is_reported(load: Process, server: TinyServer) -> None:
    connect(load, server, 2)
    load.call("reset")
    server.peers[0].close()
    server.peers[1].sendall(MESSAGE)
    assert load.call("wait", count=1, within_s=5)["count"] == 1
    deadline = time.monotonic() + 5
    while load.call("wait", count=2, within_s=0.05)["lost"] != 1:
        assert time.monotonic() < deadline


def test_a_refused_connect_says_why(load: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        reply = load.call("connect", port=listener.getsockname()[1], packets=["40{}"])
        thread.join(5)
    assert reply["failed"] == 1
    assert "503" in reply["failure"]


def test_ages_are_taken_from_the_message(load: Process, server: TinyServer) -> None:
    connect(load, server, 1)
    load.call("reset", stamped=True)
    sent_us = time.monotonic_ns() // 1000 - 250_000
    server.peers[0].sendall(MESSAGE.replace(b"0" * 16, b"%016d" % sent_us))
    load.call("wait", count=1, within_s=5)
    ages = load.call("latencies")
    assert ages["n"] == 1
    assert 250_000 <= ages["p50"] < 2_000_000


def test_the_publisher_keeps_its_pace_and_counts_refusals(processes: Processes) -> None:
    answers = [b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"] * 19
    answers.append(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                for answer in answers:
                    seen.append(peer.recv(4096))
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        publisher = processes.start(
            "publisher", *python_module("tests.bench.publisher"), core=LOAD_CORE, pipes=True
        )
        request = http_request("POST", "/", {"t": STAMP_PLACE.decode()})
        publisher.call("prepare", port=listener.getsockname()[1], connections=1, requests=[request])
        reply = publisher.call("paced", rate_hz=100, seconds=0.2)
        thread.join(5)
    assert (reply["sent"], reply["accepted"], reply["refused"]) == (20, 19, 1)
    assert reply["seconds"] >= 0.19
    assert STAMP_PLACE not in b"".join(seen)


def test_the_message_carries_the_marker_once() -> None:
    assert http_request("POST", "/", SENT).count(MARK.decode()) == 1


def test_cpu_and_memory_of_a_process_are_read(load: Process) -> None:
    load.call("reset")
    assert cpu_s(load.pid) > 0
    assert rss_bytes(load.pid) > 1 << 20


def test_nothing_started_lives_on(processes: Processes) -> None:
    process = processes.start("load", *python_module("tests.bench.load"), core=LOAD_CORE, pipes=True)
    process.call("reset")
    processes.end_all()
    assert not process.alive()


def results(**ours: float) -> Results:
    found: Results = {}
    for figure in FIGURES:
        found[figure.key] = {
            "node": Readings([figure.reference_node or 10.0], []),
            "centrifugo": Readings([10.0], []),
            "notify": Readings([ours.get(figure.yardstick, 5.0)], ["a note"]),
        }
    return found


def test_table_and_chart_render() -> None:
    found = results(P2=2e6)
    assert all(figure.key in as_text(found) for figure in FIGURES)
    assert "| P2 |" in as_markdown(found, ["here"])
    drawing = ElementTree.fromstring(as_svg(found))
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}rect"))) > 2 * len(FIGURES)


def test_ours_is_so_many_times_as_good_as_a_peer() -> None:
    by_key = {figure.key: figure for figure in FIGURES}
    found = results(P3=5.0, P6=5.0)
    assert times_as_good(by_key["P3 paced"], found, "centrifugo") == 2.0
    assert times_as_good(by_key["P6"], found, "centrifugo") == 0.5
    assert times_as_good(by_key["P6"], found, "stock") is None


def test_verdicts_say_reached_or_by_how_much_not() -> None:
    by_key = {figure.key: figure for figure in FIGURES}
    assert verdict(by_key["P1"], results(P1=8.0)) == "reached"
    assert verdict(by_key["P1"], results(P1=18.0)) == "missed by 2.00x"
    assert verdict(by_key["P6"], results(P6=12.0)) == "reached"
    assert verdict(by_key["P6"], results(P6=6.0)) == "missed by 2.00x"
    assert verdict(by_key["P3 paced"], results(P3=7.5)) == "reached"
    without = results()
    del without["P6"]["centrifugo"]
    assert verdict(by_key["P6"], without) == "-"
    slow_machine = results(P1=15.0)
    slow_machine["P1"]["node"] = Readings([26.8], [])
    assert verdict(by_key["P1"], slow_machine) == "reached for this machine"
    assert verdict(by_key["P2 with 1"], results()) == "-"
