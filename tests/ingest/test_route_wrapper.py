"""What stands around every handler: keys, ids of requests, errors as problems, paths and methods."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.errors import NotifyError, Unavailable
from notify.ingest.http.problems import pointer
from tests.ingest.conftest import GOOD, KEY, Api, Recorder, running


class OneKey:
    """Knows one key, of which it is told the scopes."""

    def __init__(self, *scopes: str, error: Exception | None = None) -> None:
        self.key = ApiKey("abc", "reports", frozenset(scopes))
        self.error = error

    def known(self, presented: str) -> ApiKey | None:
        return None

    async def verify(self, presented: str) -> ApiKey:
        if self.error is not None:
            raise self.error
        assert presented == KEY
        return self.key


@pytest.mark.parametrize("header", [None, "", KEY, f"Basic {KEY}", "Bearer", "Bearer ", f"Token {KEY}"])
async def test_without_a_key_nobody_is_let_in(api: Api, header: str | None):
    answer = await api.post(GOOD, key=None, headers={"Authorization": header})
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="notify"')


@pytest.mark.parametrize(
    "key", ["nonsense", KEY + "x", KEY[:-1], KEY.upper(), "nk_0123456789ab_" + "0" * 48, "x" * 8000]
)
async def test_a_wrong_key_is_told_as_an_invalid_token(api: Api, key: str):
    answer = await api.post(GOOD, key=key)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="notify", error="invalid_token"'
    assert key not in answer.body.decode()


async def test_bytes_that_are_no_text_are_a_wrong_key(api: Api):
    async with api.raw() as (reader, writer):
        writer.write(b"POST /v1/notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")


async def test_bearer_is_written_in_any_case(api: Api):
    assert (await api.post(GOOD, key=None, headers={"Authorization": f"bearer  {KEY}"})).status == 202


async def test_a_key_without_the_scope_is_forbidden(recorder: Recorder):
    async with running(recorder, keys=OneKey("read", "admin")) as api:
        for path in ("/v1/notifications", "/v1/notifications/batch"):
            answer = await api.post(GOOD, path)
            assert (answer.status, answer.json["code"]) == (403, "forbidden")
            expected = 'Bearer realm="notify", error="insufficient_scope", scope="publish"'
            assert answer.headers["WWW-Authenticate"] == expected
    async with running(recorder, keys=OneKey("publish")) as api:
        assert (await api.post(GOOD)).status == 202


async def test_when_keys_cannot_be_looked_up_the_caller_is_told_to_try_again(recorder: Recorder):
    async with running(recorder, keys=OneKey(error=Unavailable("Redis is away", retry_after_s=1))) as api:
        answer = await api.post(GOOD)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/x", "/v1/notifications/", "/v1/notifications/batch/x", "/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_paths_that_are_none_are_not_found(api: Api, path: str, method: str):
    answer = await api.ask(method, path)
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/notifications", "POST"),
        ("/v1/notifications/batch", "POST"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
    ],
)
async def test_other_methods_are_told_which_there_are(api: Api, path: str, allow: str):
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - set(
        allow.split(", ")
    ):
        answer = await api.ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allow)
        assert answer.headers["Content-Type"] == "application/problem+json"
        if method != "HEAD":
            assert answer.json["code"] == "method_not_allowed"


@pytest.mark.parametrize("request_id", ["abc", "a" * 128, "4bf92f35-77b3/4da6:a3ce=1+2@x~y._"])
async def test_a_request_id_is_kept(api: Api, request_id: str):
    headers = {"X-Request-Id": request_id}
    assert (await api.post(GOOD, headers=headers)).headers["X-Request-Id"] == request_id
    assert (await api.post([], headers=headers)).headers["X-Request-Id"] == request_id
    assert (await api.ask("GET", "/nothing", headers=headers)).headers["X-Request-Id"] == request_id


@pytest.mark.parametrize("request_id", [None, "", "a b", "a" * 129, "ü", 'a"b', "a,b", "<x>"])
async def test_a_strange_request_id_is_replaced(api: Api, request_id: str | None):
    first = (await api.post(GOOD, headers={"X-Request-Id": request_id})).headers["X-Request-Id"]
    second = (await api.post(GOOD, headers={"X-Request-Id": request_id})).headers["X-Request-Id"]
    assert first.startswith("req-")
    assert first != second != request_id


async def test_the_request_id_is_bound_for_logs_and_only_there(recorder: Recorder):
    seen: list[Any] = []

    class Watching(Recorder):
        async def publish(self, *args: Any, **options: Any) -> Any:
            seen.append(structlog.contextvars.get_contextvars())
            return await super().publish(*args, **options)

    async def outside(request: web.Request) -> web.Response:
        seen.append(structlog.contextvars.get_contextvars())
        return web.Response()

    async with running(Watching(), also=[web.get("/outside", outside)], short=False) as api:
        await api.post(GOOD, headers={"X-Request-Id": "abc"})
        assert (await api.ask("GET", "/outside")).headers.get("X-Request-Id") is None
    assert seen == [{"request_id": "abc"}, {}]


@pytest.mark.parametrize("error", [ZeroDivisionError("secret detail"), NotifyError("secret detail")])
async def test_what_nobody_expected_is_a_problem_without_details(
    api: Api, recorder: Recorder, error: Exception
):
    recorder.error = error
    with structlog.testing.capture_logs() as logs:
        answer = await api.post(GOOD, headers={"X-Request-Id": "abc"})
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == "abc"
    assert b"secret" not in answer.body
    assert b"Zero" not in answer.body
    assert [(entry["event"], entry["route"], entry["log_level"]) for entry in logs] == [
        ("request_failed", "publish", "error")
    ]
    assert (await api.post(GOOD)).status == 500  # and the connection goes on


async def test_requests_are_counted_under_fixed_names(api: Api):
    await api.post(GOOD)
    await api.post([])
    await api.ask("GET", "/docs")
    for number in range(3):
        await api.ask("GET", f"/made-up-{number}")
    await api.ask("DELETE", "/v1/notifications")
    assert api.stats.requests == {
        ("publish", 202): 1,
        ("publish", 422): 1,
        ("docs", 200): 1,
        ("not_found", 404): 3,
        ("method_not_allowed", 405): 1,
    }
    assert api.stats.errors == {"invalid": 1, "not_found": 3, "method_not_allowed": 1}
    assert api.stats.body_bytes > 10
    assert sum(api.stats.seconds["publish"].counts) == 2


async def test_other_routes_of_the_application_are_left_alone(recorder: Recorder):
    async def socketio(request: web.Request) -> web.Response:
        return web.Response(text="theirs", status=418)

    async with running(recorder, also=[web.route("*", "/socket.io/", socketio)]) as api:
        answer = await api.ask("PUT", "/socket.io/?EIO=4")
        assert (answer.status, answer.body) == (418, b"theirs")


async def test_an_unknown_expectation_is_passed_over(api: Api):
    assert (await api.post(GOOD, headers={"Expect": "a-miracle"})).status == 202


def test_json_pointers():
    assert pointer() == ""
    assert pointer("a", 0, "b/c~d", "") == "/a/0/b~1c~0d/"
