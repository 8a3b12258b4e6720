"""Tokens signed by the client's package open the door of real nodes."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import jwt
import pytest
import socketio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from notify_client import Misconfigured, tokens
from tests.support.cluster import Cluster
from tests.support.tokens import JWT_SECRET


async def test_a_node_takes_it_and_puts_its_bearer_into_the_rooms(cluster: Cluster, unique: str):
    token = tokens.sign(JWT_SECRET, unique, join=[f"room-{unique}"])
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(
        cluster.nodes[0].url, auth={"token": token, "recovery": False}, transports=["websocket"]
    )
    try:
        _, room = await cluster.nodes[1].request("GET", f"/v1/rooms/room-{unique}")
        assert room["connections"] == 1
    finally:
        await client.disconnect()


def test_it_carries_what_was_asked_for():
    token = tokens.sign(
        JWT_SECRET, "42", join=["lobby"], rooms=["project:*"], send=["user:*"],
        expires_in=timedelta(minutes=5), issuer="us", audience="notify",
    )  # fmt: skip
    claims = jwt.decode(token, JWT_SECRET, ["HS256"], issuer="us", audience="notify")
    assert claims.pop("exp") - claims.pop("iat") == 300
    assert claims == {
        "sub": "42", "join": ["lobby"], "rooms": ["project:*"], "send": ["user:*"],
        "iss": "us", "aud": "notify",
    }  # fmt: skip


def test_a_private_key_signs_too():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    token = tokens.sign(pem, "42", algorithm="ES256", key_id="2026-11")
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": "2026-11"}
    assert jwt.decode(token, key.public_key(), ["ES256"])["sub"] == "42"


@pytest.mark.parametrize(
    ("secret", "user", "options", "says"),
    [
        ("too short", "42", {}, "NOTIFY_JWT_SECRET"),
        (JWT_SECRET, "", {}, "user"),
        (JWT_SECRET, "42", {"join": "lobby"}, "join must be a list"),
        ("no key at all, but long enough for one", "42", {"algorithm": "ES256"}, "ES256"),
    ],
)
def test_what_no_node_would_take_is_not_signed(secret: str, user: str, options: dict[str, Any], says: str):
    with pytest.raises(Misconfigured) as raised:
        tokens.sign(secret, user, **options)
    assert says in str(raised.value)
    assert secret not in str(raised.value)


def test_without_pyjwt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.delitem(sys.modules, "notify_client.tokens")
    with pytest.raises(ImportError, match=r"notify-socketio-client\[tokens\]"):
        import notify_client.tokens  # noqa: F401
