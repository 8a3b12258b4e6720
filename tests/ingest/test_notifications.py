"""POST /v1/notifications and /batch, seen from a backend."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from notify.domain.errors import InFlight, Invalid, KeyReused, TooMany, Unavailable
from notify.domain.notifications.notification import Notification, Target
from notify.service.publish import Idempotency
from tests.ingest.conftest import GOOD, MAX_PAYLOAD, Api, Recorder


async def test_a_notification_is_accepted(api: Api, recorder: Recorder):
    answer = await api.post({**GOOD, "ttl": 60})
    assert answer.status == 202
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] == "/v1/notifications/ntf_1"
    assert "Idempotent-Replayed" not in answer.headers
    assert answer.json == {
        "id": "ntf_1",
        "status": "accepted",
        "created_at": "2026-11-23T09:00:00.123Z",
        "expires_at": "2026-11-23T09:01:00.123Z",
    }
    assert recorder.seen == [Notification(Target(users=("42",)), title="Hello", ttl_s=60)]
    assert recorder.idempotency == [None]


async def test_an_ephemeral_one_expires_never(api: Api):
    assert (await api.post({**GOOD, "ttl": 0})).json["expires_at"] is None


async def test_every_kind_of_unicode_arrives_as_it_was(api: Api, recorder: Recorder):
    text = "\u0000\u001f\u2028\ud7ff\ue000\ufeff\ufffd\U0001f600\U0010ffff a\u0301 \u202eabc"
    assert (await api.post({"to": {"user": "ü"}, "title": text, "data": {text: [text]}})).status == 202
    assert recorder.seen[0].title == text
    assert recorder.seen[0].data == {text: [text]}


async def test_of_a_key_that_comes_twice_the_last_counts(api: Api, recorder: Recorder):
    assert (await api.post(b'{"to":{"user":"1"},"title":"a","title":"b"}')).status == 202
    assert recorder.seen[0].title == "b"


async def test_wrong_fields_are_named_by_pointers(api: Api, recorder: Recorder):
    answer = await api.post({"to": {"users": ["1", 2]}, "ttl": "x"})
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json == {
        "type": "urn:notify:error:invalid",
        "title": "The request is not valid",
        "status": 422,
        "detail": "2 faults, at /to/users/1, /ttl",
        "code": "invalid",
        "errors": [
            {"pointer": "/to/users/1", "detail": "must be a string"},
            {"pointer": "/ttl", "detail": "must be a whole number"},
        ],
    }
    assert recorder.seen == []
    assert api.stats.errors == {"invalid": 1}


async def test_a_json_value_that_is_no_object_is_wrong_as_a_whole(api: Api):
    for body in ([], [GOOD], "x", None, 1):
        answer = await api.post(body)
        assert (answer.status, answer.pointers) == (422, {"": "must be an object"})


async def test_the_idempotency_key_goes_with_the_api_key_and_the_body(api: Api, recorder: Recorder):
    body = b'{"to": {"user": "42"}, "title": "x"}'
    await api.post(body, headers={"Idempotency-Key": "k" * 255})
    meaning = hashlib.sha256(b'{"title":"x","to":{"user":"42"}}').digest()
    expected = Idempotency("env-tests", "k" * 255, body=hashlib.sha256(body).digest(), meaning=meaning)
    assert recorder.idempotency == [expected]
    await api.batch({"notifications": [GOOD]}, headers={"Idempotency-Key": "k"})
    assert recorder.idempotency[1] is not None
    assert recorder.idempotency[1].key == "k"


@pytest.mark.parametrize("key", ["", "k" * 256, "a b", "ä", "a\tb"])
async def test_a_malformed_idempotency_key_is_refused_by_name(api: Api, recorder: Recorder, key: str):
    answer = await api.post(GOOD, headers={"Idempotency-Key": key})
    assert answer.status == 400
    assert "Idempotency-Key" in answer.json["detail"]
    assert recorder.seen == []


async def test_two_idempotency_keys_are_one_too_many(api: Api):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), ("Content-Type", "application/json")]
    headers.append(("Authorization", "Bearer a-key-of-the-tests-only"))
    url = f"http://{api.host}:{api.port}/v1/notifications"
    async with api.session.post(url, data=b'{"to":{"user":"1"}}', headers=headers) as response:
        assert response.status == 400


async def test_a_replayed_answer_says_so(api: Api, recorder: Recorder):
    recorder.replayed = True
    assert (await api.post(GOOD)).headers["Idempotent-Replayed"] == "true"
    assert (await api.batch({"notifications": [GOOD]})).headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("error", "status", "code", "wait"),
    [
        (Unavailable("Redis is away", retry_after_s=0.2), 503, "unavailable", "1"),
        (Unavailable("Redis is away"), 503, "unavailable", "1"),
        (InFlight("wait", retry_after_s=1.5), 409, "in_flight", "2"),
        (TooMany("wait", retry_after_s=60), 429, "too_many", "60"),
        (KeyReused("another body"), 422, "idempotency_key_reused", None),
    ],
)
@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/notifications/batch"])
async def test_what_the_publisher_raises_is_told(
    api: Api, recorder: Recorder, path: str, error: Exception, status: int, code: str, wait: str | None
):
    recorder.error = error
    answer = await api.post(GOOD if path == "/v1/notifications" else {"notifications": [GOOD]}, path)
    assert (answer.status, answer.json["code"], answer.headers.get("Retry-After")) == (status, code, wait)
    assert answer.json["detail"] == str(error)


async def test_a_batch_of_good_ones_is_accepted(api: Api, recorder: Recorder):
    answer = await api.batch({"notifications": [GOOD] * 1000})
    assert answer.status == 202
    assert (answer.json["accepted"], answer.json["rejected"]) == (1000, 0)
    assert len(recorder.seen) == 1000
    alone = (await api.post(GOOD)).json
    assert answer.json["results"][999] == {"index": 999, **alone, "id": "ntf_1000"}


async def test_bad_ones_in_a_batch_do_not_keep_the_others_back(api: Api, recorder: Recorder):
    items: list[Any] = [GOOD] * 1000
    items[0] = {"to": {"user": 5}}
    items[500] = {"to": {"room": "a"}, "colour": "x"}
    items[999] = None
    answer = await api.batch({"notifications": items})
    assert answer.status == 207
    document = answer.json
    assert (document["accepted"], document["rejected"]) == (997, 3)
    assert [result["index"] for result in document["results"]] == list(range(1000))
    rejected = {result["index"]: result for result in document["results"] if result["status"] == "rejected"}
    assert {index: result["error"]["errors"] for index, result in rejected.items()} == {
        0: [{"pointer": "/notifications/0/to/user", "detail": "must be a string"}],
        500: [{"pointer": "/notifications/500/colour", "detail": "is not a known field"}],
        999: [{"pointer": "/notifications/999", "detail": "must be an object"}],
    }
    assert rejected[0]["error"].keys() == {"type", "title", "status", "detail", "code", "errors"}
    assert "id" not in rejected[0]
    assert len(recorder.seen) == 997


async def test_a_batch_of_bad_ones_is_refused_item_by_item(api: Api, recorder: Recorder):
    answer = await api.batch({"notifications": [1, {}]}, headers={"Idempotency-Key": "k"})
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == "invalid"
    assert (answer.json["accepted"], answer.json["rejected"], len(answer.json["results"])) == (0, 2, 2)
    assert recorder.idempotency == []  # nothing was asked of it, so the key is still free


async def test_an_item_over_the_limit_is_refused_and_no_other(api: Api):
    user: dict[str, Any] = {"to": {"user": "42"}}
    body = "x" * (MAX_PAYLOAD - len(b'{"to":{"user":"42"},"body":""}'))
    answer = await api.batch({"notifications": [user | {"body": body}, user | {"body": body + "x"}]})
    assert answer.status == 207
    first, second = answer.json["results"]
    assert first["status"] == "accepted"
    assert (second["error"]["status"], second["error"]["code"]) == (413, "too_large")
    assert second["error"]["errors"][0]["pointer"] == "/notifications/1"


async def test_the_batch_itself_may_be_wrong(api: Api):
    for body, pointer in (
        ([], ""),
        ({}, "/notifications"),
        ({"notifications": [GOOD] * 1001}, "/notifications"),
    ):
        answer = await api.batch(body)
        assert (answer.status, list(answer.pointers)) == (422, [pointer])
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_items_that_redis_did_not_take_are_named(api: Api, recorder: Recorder):
    recorder.item_errors[1] = Unavailable("Redis is away", retry_after_s=1)
    answer = await api.batch({"notifications": [GOOD, GOOD, {}]})
    assert answer.status == 207
    assert [result.get("error", {}).get("code") for result in answer.json["results"]] == [
        None,
        "unavailable",
        "invalid",
    ]


async def test_a_batch_may_not_name_more_targets_than_redis_can_write_at_once(api: Api, recorder: Recorder):
    users = [str(number) for number in range(400)]
    good = [{"to": {"users": users}, "title": "x"}] * 25
    assert (await api.batch({"notifications": good})).status == 202
    recorder.seen.clear()
    answer = await api.batch({"notifications": [*good, {"to": {"room": "one more"}}]})
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == "/notifications"
    assert recorder.seen == []


async def test_a_batch_of_which_redis_took_nothing_may_be_tried_again(api: Api, recorder: Recorder):
    recorder.item_errors = {0: Unavailable("Redis is away", retry_after_s=1), 1: Invalid("nobody")}
    answer = await api.batch({"notifications": [GOOD, GOOD]})
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")


@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/notifications/batch"])
async def test_a_query_is_refused_by_name(api: Api, recorder: Recorder, path: str):
    body = {"notifications": [GOOD]} if path.endswith("batch") else GOOD
    answer = await api.post(body, f"{path}?dry_run=1")
    assert (answer.status, answer.pointers) == (422, {"/query/dry_run": "is not a known field"})
    assert recorder.seen == []
