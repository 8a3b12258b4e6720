"""A client that sends what it is given and shows what comes, byte for byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

from tests.gateway.certificates import tls_contexts
from tests.gateway.client_frames import handshake
from tests.gateway.sites import PATIENCE_S, Site


class RawClient:
    """One connection to a Site."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, site: Site) -> RawClient:
        context = tls_contexts()[1] if site.tls else None
        if site.path:
            return cls(*await asyncio.open_unix_connection(site.path, ssl=context))
        return cls(*await asyncio.open_connection(*site.address, ssl=context))

    @classmethod
    async def open(
        cls, site: Site, context: ssl.SSLContext | None = None, *, behind: bytes = b""
    ) -> RawClient:
        """With the handshake done. `behind` is sent in one packet with the request."""
        client = await cls.connect(site)
        client.send(handshake() + behind)
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return client

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """The head of an HTTP answer."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame, which must be final and unmasked."""
        async with asyncio.timeout(PATIENCE_S):
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80
            assert second < 128
            width = {126: 2, 127: 8}.get(second, 0)
            size = int.from_bytes(await self.reader.readexactly(width), "big") if width else second
            return first & 0x0F, await self.reader.readexactly(size)

    async def closing(self) -> int:
        """The code of the close frame that is next."""
        opcode, payload = await self.frame()
        assert opcode == 0x8, (opcode, payload)
        return int.from_bytes(payload[:2], "big") if payload else 1005

    async def rest(self) -> bytes:
        """All until the server ends the stream."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def stop_reading(self) -> None:
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def read_on(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Vanish with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def leave(self) -> None:
        """Close the TCP side, without a close frame."""
        self.writer.close()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass  # the server was faster
