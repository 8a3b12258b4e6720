"""What callers and clients write in another way, and mean all the same; and what they may not."""

from __future__ import annotations

import json
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.clients.javascript import JavaScript
from tests.support.clients.raw import RawClient
from tests.support.cluster import Cluster
from tests.support.tokens import API_KEY, JWT_SECRET, mint

pytestmark = pytest.mark.timeout(120)


async def posted(node, body: bytes, *, path: str = "/v1/notifications", idempotency_key: str | None = None):
    headers = {"Content-Type": "application/json"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    return await node.request("POST", path, data=body, headers=headers)


async def test_the_same_json_in_another_order_is_the_same_request(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        one = b'{"to": {"user": "ada"}, "title": "x", "data": {"a": 1, "b": {"c": 2, "d": 3}}}'
        other = b'{"data":{"b":{"d":3,"c":2},"a":1},"title":"x","to":{"user":"ada"}}'
        third = b'{"data":{"b":{"d":3,"c":2},"a":2},"title":"x","to":{"user":"ada"}}'
        status, first = await posted(node, one, idempotency_key="k")
        assert status == 202
        assert await posted(node, other, idempotency_key="k") == (202, first)
        status, answer = await posted(node, third, idempotency_key="k")
        assert (status, answer["code"]) == (422, "idempotency_key_reused")
        path = "/v1/notifications/batch"

        def batch(*items: bytes) -> bytes:
            return b'{"notifications": [' + b",".join(items) + b"]}"

        status, first = await posted(node, batch(one, third), path=path, idempotency_key="b")
        assert status == 202
        assert await posted(node, batch(other, third), path=path, idempotency_key="b") == (202, first)
        status, answer = await posted(node, batch(third, one), path=path, idempotency_key="b")
        assert (status, answer["code"]) == (422, "idempotency_key_reused")


async def test_a_byte_order_mark_is_forgiven(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        body = b"\xef\xbb\xbf" + json.dumps({"to": {"user": "ada"}, "title": "x"}).encode()
        assert (await posted(node, body))[0] == 202
        assert (await posted(node, b"\xef\xbb\xbf"))[0] == 400


async def test_every_user_can_have_their_own_namespace(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster, JavaScript() as javascript:
        (node,) = cluster.nodes
        for user in ("u" * 256, "a#b", "a,b", "a?b", "with space", "ä/ö%23", "😀" * 256):
            url = f"{node.url}/users/{quote(user, safe='')}"
            client = await javascript.connect(url, auth={"token": mint(user)}, transports=["websocket"])
            await client.wait("connect")
            status, _ = await node.post({"to": {"user": user}, "title": user[:9]})
            assert status == 202
            await client.wait_event("notification")
            stranger = await javascript.connect(url, auth={"token": mint("b")}, transports=["websocket"])
            assert (await stranger.wait("connect_error"))["data"]["code"] == "forbidden"


async def test_a_long_id_needs_no_encoding(tmp_path):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        user = "u" * 256
        client = await RawClient.connect(node.url, {"token": mint(user)}, namespace=f"/users/{user}")
        assert not (await client.answer())["refused"]
        status, _ = await node.post({"to": {"all": True}, "namespace": f"/users/{user}", "title": "x"})
        assert status == 202
        await client.close()


@pytest.mark.parametrize(
    ("given", "recoverable"), [("false", False), (False, False), ("true", True), (None, True)]
)
async def test_a_client_that_has_strings_only_can_do_without_recovery(tmp_path, given, recoverable: bool):
    async with Cluster(1, directory=tmp_path) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada"), "recovery": given})
        assert ("pid" in await client.answer()) == recoverable
        await client.close()


async def test_clients_send_what_the_operator_lets_them(tmp_path):
    settings = {"NOTIFY_SEND_EVENTS": "message,typing"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada", send=["*"])})
        await client.answer()
        for asked in ({}, {"event": "message"}, {"event": "typing"}):
            assert (await client.call("send", {"to": {"user": "ada"}, **asked, "data": 1}))["ok"]
        for event in ("notification", "deploy", "Message"):
            refused = await client.call("send", {"to": {"user": "ada"}, "event": event, "data": 1})
            assert refused["error"]["code"] == "forbidden"
        await client.close()


async def test_without_a_setting_it_is_messages_only(tmp_path):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_SEND_EVENTS": ""}) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada", send=["*"])})
        await client.answer()
        assert (await client.call("send", {"to": {"user": "ada"}, "data": 1}))["ok"]
        refused = await client.call("send", {"to": {"user": "ada"}, "event": "typing", "data": 1})
        assert refused["error"]["code"] == "forbidden"
        await client.close()


async def test_a_line_break_behind_the_secret_is_left_out_and_said(tmp_path):
    async with Cluster(1, directory=tmp_path, environ={"NOTIFY_JWT_SECRET": JWT_SECRET + "\n"}) as cluster:
        (node,) = cluster.nodes
        client = await RawClient.connect(node.url, {"token": mint("ada")})
        assert not (await client.answer())["refused"]
        assert [event["event"] for event in node.events].count("line_break_left_out") == 1
        await client.close()


async def test_refused_origins_are_logged_once_with_the_setting_that_would_let_them_in(tmp_path):
    settings = {"NOTIFY_CORS_ORIGINS": "https://*.example.com"}
    async with Cluster(1, directory=tmp_path, environ=settings) as cluster:
        (node,) = cluster.nodes
        async with aiohttp.ClientSession() as session:
            for origin, status in [
                ("https://app.example.com", 200),
                ("https://example.com", 400),
                ("https://example.com", 400),
                ("https://evil.example", 400),
            ]:
                url = f"{node.url}/socket.io/?EIO=4&transport=polling"
                async with session.get(url, headers={"Origin": origin}) as response:
                    assert response.status == status
        assert await node.terminate() == 0  # so that all of the log is written
        refused = [event for event in node.events if event["event"] == "origin_refused"]
        assert [event["origin"] for event in refused] == ["https://example.com", "https://evil.example"]
        assert "NOTIFY_CORS_ORIGINS: https://example.com" in refused[0]["advice"]
        assert API_KEY not in node.log
