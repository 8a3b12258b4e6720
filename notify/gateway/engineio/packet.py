"""Engine.IO packets that the server itself makes (Engine.IO protocol v4, "Protocol")."""

from __future__ import annotations

from typing import Any

import orjson
from engineio import packet as eio_packet

from notify.protocol.engineio import Wire, frame

PING = Wire(b"2")
CLOSE, NOOP = b"1", b"6"
PROBE_ANSWER = frame(b"3probe")


class OpenPackets:
    """The first packet of a connection: its sid, and what is the same for all of a transport."""

    __slots__ = ("_tails",)

    def __init__(
        self, *, upgrade_to: list[str], interval_s: float, timeout_s: float, max_payload: int
    ) -> None:
        """`upgrade_to`: the transports that a client on long-polling may change to."""
        self._tails: dict[str, bytes] = {}
        for transport, upgrades in (("polling", upgrade_to), ("websocket", [])):
            options = {
                "upgrades": upgrades,
                "pingInterval": round(interval_s * 1000),
                "pingTimeout": round(timeout_s * 1000),
                "maxPayload": max_payload,
            }
            self._tails[transport] = b'",' + orjson.dumps(options)[1:]

    def packet(self, sid: str, transport: str) -> bytes:
        """The packet for one connection."""
        return b'0{"sid":"' + sid.encode() + self._tails[transport]


def message_wire(data: Any) -> Wire:
    """What `AsyncServer.send` takes as a packet: text, binary, or a list or dict to be sent as JSON."""
    if isinstance(data, bytes | bytearray | memoryview):
        return Wire(memoryview(bytes(data)))
    return Wire(eio_packet.Packet(eio_packet.MESSAGE, data=data).encode().encode())


def message_data(text: str) -> Any:
    """A message as python-engineio gives it to handlers: JSON decoded, unless it begins with a digit."""
    return eio_packet.Packet(encoded_packet="4" + text).data
