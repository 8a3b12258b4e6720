"""Refusals as stock clients see them: a `connect_error` whose `.data.code` says why, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from tests.gateway.issuer import Issuer, claims, ec_key, jwk, pem, raw, rsa_key, served, token
from tests.support.clients.javascript import JavaScript, JsClient
from tests.support.cluster import Cluster, Node
from tests.support.tokens import JWT_SECRET, mint
from tests.support.valkey import Valkey

# A node that lost Redis may take most of a minute, on a busy machine, to say so.
pytestmark = pytest.mark.timeout(120)

HEAD = {"alg": "HS256", "typ": "JWT"}
SECRET = JWT_SECRET.encode()
REFUSED: dict[str, tuple[Any, str]] = {
    "no auth": (None, "token_missing"),
    "no token": ({}, "token_missing"),
    "an empty token": ({"token": ""}, "token_missing"),
    "a null token": ({"token": None}, "token_missing"),
    "a number": ({"token": 5}, "token_invalid"),
    "an object": ({"token": {"token": mint("42")}}, "token_invalid"),
    "not a JWT": ({"token": "hello"}, "token_invalid"),
    "alg none": ({"token": jwt.encode(claims(), "", "none")}, "token_invalid"),
    "alg none, truly signed": ({"token": raw({"alg": "none"}, claims(), SECRET)}, "token_invalid"),
    "an empty secret": ({"token": raw(HEAD, claims(), b"")}, "token_invalid"),
    "another secret": ({"token": mint("42", secret="x" * 32)}, "token_invalid"),
    "RS256": ({"token": token(rsa_key())}, "token_invalid"),
    "unknown crit": ({"token": raw(HEAD | {"crit": ["x"], "x": 1}, claims(), SECRET)}, "token_invalid"),
    "expired": ({"token": mint("42", expires_in_s=-1)}, "token_expired"),
    "no exp": ({"token": mint("42", exp=None)}, "token_invalid"),
    "no sub": ({"token": raw(HEAD, claims(sub=None), SECRET)}, "token_invalid"),
    "sub a number": ({"token": raw(HEAD, claims(sub=42), SECRET)}, "token_invalid"),
    "sub half a character": (
        {"token": raw(HEAD, b'{"sub":"\\ud800","exp":9999999999}', SECRET)},
        "token_invalid",
    ),
    "not valid yet": ({"token": mint("42", nbf=int(time.time()) + 86_400)}, "token_invalid"),
    "for another audience": ({"token": mint("42", aud="billing")}, "token_invalid"),
    "too long": ({"token": mint("42", pad="x" * 8192)}, "token_invalid"),
    "nested deeply": (
        {"token": raw(HEAD, b'{"sub":' + b"[" * 2500 + b"]" * 2500 + b"}", SECRET)},
        "token_invalid",
    ),
    "too many rooms": ({"token": mint("42", join=[f"r{n}" for n in range(129)])}, "token_invalid"),
    "a user's room": ({"token": mint("42", join=["@user/7"])}, "token_invalid"),
}


async def refusal(client: JsClient) -> dict[str, Any]:
    """What the client was told; it must not try again by itself with the same token."""
    line = await client.wait("connect_error")
    assert line["message"] == line["data"]["detail"]
    assert not client.said("connect")
    data: dict[str, Any] = line["data"]
    return data


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("oldest", [False, True])
async def test_each_refusal_reaches_a_stock_client(cluster: Cluster, transport: str, oldest: bool):
    async with JavaScript() as javascript:
        clients = {}
        for index, (name, (auth, _)) in enumerate(REFUSED.items()):
            options: dict[str, Any] = {"transports": [transport], "reconnection": False} | (
                {} if auth is None else {"auth": auth}
            )
            url = cluster.nodes[index % 3].url
            clients[name] = await javascript.connect(url, oldest=oldest, **options)
        found = {name: await refusal(client) for name, client in clients.items()}
        assert {name: data["code"] for name, data in found.items()} == {
            name: code for name, (_, code) in REFUSED.items()
        }
        assert not any(data["retryable"] for data in found.values())
        good = await javascript.connect(cluster.nodes[0].url, oldest=oldest, auth={"token": mint("Zoë 😀")})
        await good.wait("connect")


async def test_a_namespace_of_another_user_and_one_that_is_not_there(cluster: Cluster):
    url = cluster.nodes[0].url
    async with JavaScript() as javascript:
        auth = {"token": mint("42")}
        other = await javascript.connect(url + "/users/43", auth=auth)
        assert (await refusal(other))["code"] == "forbidden"
        stranger = await javascript.connect(url + "/users/42")
        assert (await refusal(stranger))["code"] == "token_missing"
        nowhere = await javascript.connect(url + "/nowhere", auth=auth)
        assert (await nowhere.wait("connect_error"))[
            "message"
        ] == "Invalid namespace"  # as Node's server says it
        own = await javascript.connect(url + "/users/42", auth=auth)
        await own.wait("connect")


async def test_a_token_in_the_query_counts_for_nothing(cluster: Cluster):
    async with JavaScript() as javascript:
        query = {"token": mint("42"), "auth": mint("42")}
        client = await javascript.connect(cluster.nodes[0].url, query=query)
        assert (await refusal(client))["code"] == "token_missing"


async def test_tokens_and_secrets_are_in_no_log(cluster: Cluster):
    bad, good = mint("42", secret="y" * 32), mint("42")
    async with JavaScript() as javascript:
        refused = await javascript.connect(cluster.nodes[0].url, auth={"token": bad})
        await refused.wait("connect_error")
        let_in = await javascript.connect(cluster.nodes[0].url, auth={"token": good})
        await let_in.wait("connect")
    log = cluster.nodes[0].log
    assert not any(part in log for part in (*bad.split("."), *good.split("."), JWT_SECRET))


async def test_public_keys_issuer_and_audience(valkey: Valkey, tmp_path: Path):
    public = pem(rsa_key()) + pem(ec_key())
    environ = {
        "NOTIFY_JWT_SECRET": "",
        "NOTIFY_JWT_PUBLIC_KEY": public,
        "NOTIFY_JWT_ISSUER": "https://id.example",
        "NOTIFY_JWT_AUDIENCE": "notify",
    }
    good: dict[str, Any] = {"iss": "https://id.example", "aud": "notify"}
    refused = {
        "HS256 signed with the public key": raw(HEAD, claims(**good), public.encode()),
        "HS256 signed with one of the public keys": raw(HEAD, claims(**good), pem(rsa_key()).encode()),
        "HMAC under another name": raw({"alg": "RS256"}, claims(**good), pem(rsa_key()).encode()),
        "wrong iss": token(rsa_key(), **good | {"iss": "https://evil.example"}),
        "no iss": token(rsa_key(), **good | {"iss": None}),
        "wrong aud": token(rsa_key(), **good | {"aud": "billing"}),
        "no aud": token(rsa_key(), **good | {"aud": None}),
        "another key": token(rsa_key("evil"), **good),
    }
    async with (
        Cluster(1, directory=tmp_path, valkey=valkey, environ=environ) as cluster,
        JavaScript() as javascript,
    ):
        url = cluster.nodes[0].url
        for name, made in refused.items():
            client = await javascript.connect(url, auth={"token": made})
            assert (await refusal(client))["code"] == "token_invalid", name
        for key in (rsa_key(), ec_key()):
            client = await javascript.connect(url, auth={"token": token(key, kid="x", **good)})
            await client.wait("connect")


async def test_published_keys_down_up_and_rotated(valkey: Valkey, tmp_path: Path):
    issuer = Issuer()
    issuer.keys = [jwk(rsa_key(), "one"), {"kty": "oct", "kid": "shared", "k": "c2hhcmVk"}]
    async with served(issuer):
        port = int(issuer.url.rpartition(":")[2].partition("/")[0])
    environ = {"NOTIFY_JWT_SECRET": "", "NOTIFY_JWT_JWKS_URL": issuer.url}
    good = token(rsa_key(), kid="one")
    async with (
        Cluster(1, directory=tmp_path, valkey=valkey, environ=environ) as cluster,
        JavaScript() as javascript,
    ):
        url = cluster.nodes[0].url

        async def code_of(made: str) -> str:
            client = await javascript.connect(url, auth={"token": made}, reconnection=False)
            return await outcome(client)

        assert await code_of(good) == "unavailable"
        async with served(issuer, port):
            assert await until_it_is_not_unavailable(code_of, good) == "connect"
            assert await code_of(token(rsa_key("evil"), kid="one")) == "token_invalid"
            assert (
                await code_of(raw({"alg": "HS256", "kid": "shared"}, claims(), b"shared")) == "token_invalid"
            )
            issuer.keys = [jwk(ec_key(), "two")]
            assert await until_it_is_not_unavailable(code_of, token(ec_key(), kid="two")) == "connect"
            assert await code_of(token(rsa_key(), kid="one")) == "unavailable"  # cannot be told so soon
        assert await code_of(token(ec_key(), kid="two")) == "connect"  # down again: the keys are kept


async def test_a_wrong_kid_is_refused_for_good(valkey: Valkey, tmp_path: Path):
    async with served(Issuer()) as issuer:
        issuer.status = 503
        environ = {"NOTIFY_JWT_SECRET": "", "NOTIFY_JWT_JWKS_URL": issuer.url}
        async with (
            Cluster(1, directory=tmp_path, valkey=valkey, environ=environ) as cluster,
            JavaScript() as javascript,
        ):

            async def code_of(made: str) -> str:
                client = await javascript.connect(
                    cluster.nodes[0].url, auth={"token": made}, reconnection=False
                )
                return await outcome(client)

            issuer.status, issuer.keys = 200, [jwk(rsa_key(), "one")]
            wrong = token(rsa_key(), kid="two")
            assert await until_it_is_not_unavailable(code_of, wrong) == "token_invalid"


async def outcome(client: JsClient) -> str:
    """`connect`, the code of the refusal, or `unavailable` when the transport was ended."""
    kinds = ("connect", "connect_error", "disconnect")
    async with asyncio.timeout(30), client.changed:
        await client.changed.wait_for(lambda: any(client.said(kind) for kind in kinds))
    failed = client.said("connect_error")
    if failed:  # one without data is of the transport, not of the namespace
        return (await refusal(client))["code"] if failed[0]["data"] else "unavailable"
    return "connect" if client.said("connect") else "unavailable"


async def until_it_is_not_unavailable(code_of: Callable[[str], Awaitable[str]], made: str) -> str:
    """Try again as a client does that is told it may."""
    async with asyncio.timeout(60):
        while (code := await code_of(made)) == "unavailable":
            await asyncio.sleep(0.1)
    return code


async def handshake(node: Node, **headers: str) -> int:
    url = f"{node.url}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status


async def test_pages_of_other_origins_are_refused(cluster: Cluster):
    node = cluster.nodes[0]
    host = f"127.0.0.1:{node.port}"
    assert await handshake(node) == 200
    assert await handshake(node, Origin=f"http://{host}") == 200
    assert await handshake(node, Origin=f"https://{host}") == 200  # TLS ended before us
    assert await handshake(node, Origin="http://App.example.com:80", Host="app.example.com") == 200
    assert await handshake(node, Origin="https://evil.example") == 400
    assert await handshake(node, Origin="null") == 400
    made_up = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    assert await handshake(node, Origin="https://evil.example", **made_up) == 400


async def test_listed_origins_and_trusted_proxies(valkey: Valkey, tmp_path: Path):
    environ = {"NOTIFY_CORS_ORIGINS": "https://app.example.com,capacitor://localhost,null"}
    async with Cluster(1, directory=tmp_path, valkey=valkey, environ=environ) as cluster:
        trusting = cluster.add(NOTIFY_CORS_ORIGINS="", NOTIFY_TRUSTED_PROXIES="127.0.0.0/8")
        await trusting.start()
        node = cluster.nodes[0]
        for origin in (
            "https://app.example.com",
            "https://APP.example.com:443",
            "capacitor://localhost",
            "null",
        ):
            assert await handshake(node, Origin=origin) == 200, origin
        assert await handshake(node, Origin=f"http://127.0.0.1:{node.port}") == 400
        forwarded = {"X-Forwarded-Host": "made.up, app.example.com", "X-Forwarded-Proto": "https"}
        assert await handshake(trusting, Origin="https://app.example.com", **forwarded) == 200
        assert await handshake(trusting, Origin="https://made.up", **forwarded) == 400
