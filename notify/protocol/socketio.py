"""Socket.IO packets as they come from clients: read strictly, since the other end may be anyone.

Socket.IO protocol v5, "Packet encoding": `<type>[<attachments>-][<namespace>,][<ack id>][<json>]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from notify.protocol.fast_json import FastJson, TooDeep

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)

RESERVED = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Event names that a client must not use: `connect` and `disconnect` are the server's own handlers.

Node's server closes the connection of one that does. Not every client prevents it, and one that sends again
what was not acknowledged would never get past it: so it is told instead.
"""

MAX_ATTACHMENTS = 10
MAX_ID_DIGITS = 19
TOO_DEEP = "is nested too deeply"
MAX_NAMESPACE = 4096
"""Characters. A user's own namespace holds its id percent-encoded: up to twelve for each of 256."""


class BadPacket(Exception):
    """Not a packet, or one that only a server sends. The connection is to be closed."""


class Packet(NamedTuple):
    """A whole packet: binary ones with their attachments in place, and of type EVENT or ACK."""

    type: int
    namespace: str
    id: int | None
    data: Any
    size: int = 0
    """Characters of its text and bytes of its attachments: what it costs to keep, roughly."""


class Unreadable(Exception):
    """A packet in good order that cannot be handed on: no reason to close. Its text says why.

    `packet` has no data.
    """

    def __init__(self, packet: Packet, why: str) -> None:
        super().__init__(why)
        self.packet = packet._replace(data=None)


class Partial:
    """A binary packet whose attachments have not all arrived.

    It keeps the text, and parses it again in the end: parsed, it would take twenty times as much.
    """

    __slots__ = ("_attachments", "_expected", "_json", "_loads", "_packet")

    def __init__(self, packet: Packet, expected: int, text: str, loads: Callable[[str], Any]) -> None:
        self._packet = packet._replace(data=None)
        self._expected = expected
        self._json = text
        self._loads = loads
        self._attachments: list[bytes] = []

    @property
    def namespace(self) -> str:
        """Where it is going."""
        return self._packet.namespace

    def add(self, attachment: bytes) -> Packet | None:
        """Take the next attachment. The whole packet, once this was the last.

        Raises BadPacket, and Unreadable.
        """
        self._attachments.append(attachment)
        if len(self._attachments) < self._expected:
            return None
        size = self._packet.size + sum(map(len, self._attachments))
        packet = self._packet._replace(size=size)
        try:
            data = _with_attachments(self._loads(self._json), self._attachments)
        except (TooDeep, RecursionError):
            raise Unreadable(packet, TOO_DEEP) from None
        _check(packet.type, packet.id, data)
        return _permitted(packet._replace(data=data))


def decode(text: str, loads: Callable[[str], Any] = FastJson.loads) -> Packet | Partial:
    """Read the text of a packet. Raises BadPacket, and Unreadable.

    `loads` raises ValueError for what is not JSON, and `TooDeep`.
    """
    digit = text[:1]
    if digit not in ("0", "1", "2", "3", "4", "5", "6"):
        raise BadPacket("unknown packet type")
    kind, at = int(digit), 1
    expected = 0
    if kind >= BINARY_EVENT:
        dash = text.find("-", 1, 4)
        if dash < 0 or not _is_number(text[1:dash]):
            raise BadPacket("the number of attachments is missing")
        expected, at = int(text[1:dash]), dash + 1
        if expected > MAX_ATTACHMENTS:
            raise BadPacket("too many attachments")
        kind -= BINARY_EVENT - EVENT
    namespace = "/"
    if text[at : at + 1] == "/":
        comma = text.find(",", at)
        end = comma if comma >= 0 else len(text)
        # A client may put a query string behind the namespace; it is not part of the name.
        namespace = text[at:end].split("?", 1)[0]
        if len(namespace) > MAX_NAMESPACE:
            raise BadPacket("namespace too long")
        at = end + 1
    begin = at
    while text[at : at + 1] in _DIGITS:
        at += 1
    number: int | None = None
    if at > begin:
        if at - begin > MAX_ID_DIGITS:
            raise BadPacket("ack id too long")
        number = int(text[begin:at])
    data: Any = None
    if at < len(text):
        try:
            data = loads(text[at:])
        except (TooDeep, RecursionError):
            packet = Packet(kind, namespace, number, None, len(text))
            if expected:  # told when its attachments are here: they would else be attachments of nothing
                return Partial(packet, expected, text[at:], loads)
            raise Unreadable(packet, TOO_DEEP) from None
        except ValueError:
            raise BadPacket("not JSON") from None
    elif kind in (EVENT, ACK):
        raise BadPacket("no payload")
    _check(kind, number, data)
    packet = Packet(kind, namespace, number, data, len(text))
    return _permitted(packet) if not expected else Partial(packet, expected, text[at:], loads)


_DIGITS = frozenset("0123456789")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _check(kind: int, number: int | None, data: Any) -> None:
    """What may stand in a packet of each type, as socket.io-parser's `isPayloadValid` has it."""
    if kind == EVENT:
        good = isinstance(data, list) and len(data) > 0
        if good:
            name = data[0]
            good = isinstance(name, str | int | float) and not isinstance(name, bool)
    elif kind == ACK:
        good = isinstance(data, list) and number is not None
    elif kind == CONNECT:
        good = data is None or isinstance(data, dict)
    elif kind == DISCONNECT:
        good = data is None
    else:  # CONNECT_ERROR is for servers to send
        good = False
    if not good:
        raise BadPacket("wrong payload for its type")


def _permitted(packet: Packet) -> Packet:
    """The packet, unless it is an event with a name of the server's own. Raises Unreadable."""
    if packet.type == EVENT and packet.data[0] in RESERVED:
        raise Unreadable(packet, "has a reserved name")
    return packet


def _with_attachments(data: Any, attachments: list[bytes]) -> Any:
    if isinstance(data, list):
        return [_with_attachments(item, attachments) for item in data]
    if isinstance(data, dict):
        if data.get("_placeholder") is True:
            number = data.get("num")
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(attachments):
                raise BadPacket("illegal attachments")
            return attachments[number]
        return {key: _with_attachments(value, attachments) for key, value in data.items()}
    return data


class _Foreign:
    """A partial packet of somebody else's packet class."""

    __slots__ = ("_packet", "_size")

    def __init__(self, packet: Any, size: int) -> None:
        self._packet = packet
        self._size = size

    @property
    def namespace(self) -> str:
        return self._packet.namespace or "/"

    def add(self, attachment: bytes) -> Packet | None:
        try:
            self._size += len(attachment)
            return _of_class(self._packet, self._size) if self._packet.add_attachment(attachment) else None
        except Unreadable:
            raise
        except Exception as error:
            raise BadPacket("illegal attachments") from error


def decode_with(packet_class: Any, encoded: str | bytes) -> Packet | Partial:
    """Read a packet with a serializer other than the default one. Raises BadPacket, and Unreadable."""
    try:
        packet = packet_class(encoded_packet=encoded)
        if packet.attachment_count:
            return _Foreign(packet, len(encoded))  # type: ignore[return-value]
        return _of_class(packet, len(encoded))
    except (BadPacket, Unreadable):
        raise
    except Exception as error:  # whatever the class raises for what is not a packet
        raise BadPacket("not a packet") from error


def _of_class(packet: Any, size: int) -> Packet:
    kind = packet.packet_type
    if kind in (BINARY_EVENT, BINARY_ACK):
        kind -= BINARY_EVENT - EVENT
    if kind not in (CONNECT, DISCONNECT, EVENT, ACK):
        raise BadPacket("unknown packet type")
    _check(kind, packet.id, packet.data)
    return _permitted(Packet(kind, packet.namespace or "/", packet.id, packet.data, size))
