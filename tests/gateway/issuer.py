"""An issuer of tokens: keys, tokens of every make, and a real server that publishes a JWK set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = b"a secret of thirty-two bytes!!!!"
assert len(SECRET) == 32


@cache
def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key of this name, the same one each time."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str = "one", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """An elliptic curve key of this name, the same one each time."""
    return ec.generate_private_key(curve())


def pem(key: Any) -> str:
    """The public half."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return text.decode()


def private_pem(key: Any) -> str:
    """The private half."""
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def jwk(key: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    family = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    found = family.to_jwk(key.public_key(), as_dict=True)
    found.pop("key_ops", None)
    return found | ({} if kid is None else {"kid": kid}) | more


def claims(**more: Any) -> dict[str, Any]:
    """Those of a good token; a claim given as None is left out."""
    now = int(time.time())
    made = {"sub": "42", "iat": now, "exp": now + 3600} | more
    return {name: value for name, value in made.items() if value is not None}


def token(
    key: Any = SECRET, *, kid: str | None = None, headers: dict[str, Any] | None = None, **more: Any
) -> str:
    """A token as a stock library makes it, with the algorithm that fits the key."""
    algorithm = "HS256"
    if not isinstance(key, bytes | str):
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    head = (headers or {}) | ({} if kid is None else {"kid": kid})
    return jwt.encode(claims(**more), key, algorithm, headers=head)


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header: object, payload: object, secret: bytes = SECRET) -> str:
    """A token with any header and payload (bytes stand for themselves), truly signed with HMAC-SHA256."""
    parts = [
        b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)
    ]
    signed = ".".join(parts)
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


class Issuer:
    """A server with a JWK set. Change its attributes to make it misbehave."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.url = ""
        self.down = False
        """True: connections are dropped without an answer."""
        self.hold: Any = None
        """When set, an asyncio.Event that answers wait for."""

    async def answer(self, request: web.Request) -> web.Response:
        """The JWK set."""
        self.asked += 1
        if self.down and request.transport is not None:
            request.transport.abort()
        if self.hold is not None:
            await self.hold.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(status=self.status, body=body, headers=self.headers)


@asynccontextmanager
async def served(issuer: Issuer, port: int = 0) -> AsyncIterator[Issuer]:
    """Serve it on loopback until the end of the block."""
    app = web.Application()
    app.router.add_get("/jwks", issuer.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    try:
        yield issuer
    finally:
        await runner.cleanup()
