"""Ingest on the real publisher, keys and Valkey."""

from __future__ import annotations

import asyncio

import pytest

from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from notify.service.keys import ApiKeys
from notify.service.publish import Publisher
from notify.service.stats import ServiceStats
from notify.store.api_keys import ApiKeyStore
from notify.store.idempotency import IdempotencyKeys
from notify.store.inbox import Inbox
from notify.store.keys import Keys
from notify.store.log import Log
from notify.store.notifications.due import Due
from notify.store.notifications.plans import Plans
from tests.ingest.conftest import GOOD, KEY, Api, running
from tests.support.valkey import Valkey


def logged(valkey: Valkey, address: str) -> int:
    """How many notifications a channel's log holds."""
    with valkey.client() as client:
        return int(client.xlen(f"t:log:{address}"))


async def test_after_a_202_redis_holds_the_notification(real_api: Api, valkey: Valkey):
    answer = await real_api.post({"to": {"users": ["42", "43"]}, "title": "Hello"})
    assert answer.status == 202
    assert (logged(valkey, "user:/:42"), logged(valkey, "user:/:43")) == (1, 1)


async def test_of_a_hundred_copies_with_one_key_one_is_made(real_api: Api, valkey: Valkey):
    copies = [real_api.post(GOOD, headers={"Idempotency-Key": "once"}) for _ in range(100)]
    answers = await asyncio.gather(*copies)
    accepted = [answer for answer in answers if answer.status == 202]
    assert {answer.status for answer in answers} <= {202, 409}
    assert len({answer.json["id"] for answer in accepted}) == 1
    again = await real_api.post(GOOD, headers={"Idempotency-Key": "once"})
    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.body == accepted[0].body
    assert logged(valkey, "user:/:42") == 1


async def test_another_body_with_the_same_key_is_refused(real_api: Api, valkey: Valkey):
    headers = {"Idempotency-Key": "k"}
    assert (await real_api.post(GOOD, headers=headers)).status == 202
    other = await real_api.post({**GOOD, "title": "Another"}, headers=headers)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    batch = await real_api.batch({"notifications": [GOOD]}, headers=headers)
    assert (batch.status, batch.json["code"]) == (422, "idempotency_key_reused")
    assert logged(valkey, "user:/:42") == 1


async def test_a_batch_with_a_key_is_made_once(real_api: Api, valkey: Valkey):
    body = {"notifications": [{"to": {"user": str(number % 10)}} for number in range(100)] + [{}]}
    first = await real_api.batch(body, headers={"Idempotency-Key": "k"})
    second = await real_api.batch(body, headers={"Idempotency-Key": "k"})
    assert (first.status, second.status) == (207, 207)
    assert first.json == second.json
    assert second.headers["Idempotent-Replayed"] == "true"
    assert logged(valkey, "user:/:0") == 10


async def test_keys_are_apart_between_api_keys(redis: Redis, real_api: Api, valkey: Valkey):
    keys = ApiKeys(ApiKeyStore(redis, Keys("t")))
    _, other = await keys.create("other", ["publish"])
    headers = {"Idempotency-Key": "k"}
    first = await real_api.post(GOOD, headers=headers)
    second = await real_api.post(GOOD, headers=headers, key=other)
    assert (first.status, second.status) == (202, 202)
    assert first.json["id"] != second.json["id"]


async def test_deep_and_odd_data_reaches_redis_without_a_fault(real_api: Api):
    deep: object = "x"
    for _ in range(63):
        deep = [deep]
    for data in ({"a": deep}, {"": None, "\u0000": "\ufeff"}, {"n": [1e308, -0.0, 2**64 - 1, -(2**63)]}):
        for ttl in (0, 60):
            assert (await real_api.post({**GOOD, "data": data, "ttl": ttl})).status == 202
    batch = {
        "notifications": [{**GOOD, "data": {"a": deep}}, {"to": {"all": True}, "namespace": "/users/42"}]
    }
    assert (await real_api.batch(batch)).status == 202


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_without_redis_callers_are_told_to_come_again_soon(own_valkey: Valkey, fault: str):
    redis = Redis(Connector(own_valkey.url, timeout_s=0.5), stats=RedisStats())
    await redis.start()
    names = Keys("t")
    publisher = Publisher(
        log=Log(redis, names, ttl_s=60, max_messages=1000, inbox=Inbox(redis, names, max_entries=100)),
        plans=Plans(redis, names, Due(redis, names)),
        idempotency_keys=IdempotencyKeys(redis, names),
        stats=ServiceStats(),
    )
    made = ApiKeys(ApiKeyStore(redis, names), configured=[f"tests:{KEY}"])
    _, unseen = await made.create("unseen", ["publish"])
    try:
        async with running(publisher, keys=ApiKeys(ApiKeyStore(redis, names), configured=[KEY])) as api:
            assert (await api.post(GOOD)).status == 202
            if fault == "kill":
                own_valkey.kill()
            else:
                with own_valkey.client() as client:
                    client.client_pause(3_000)
            async with asyncio.timeout(2):
                answers = [
                    await api.post(GOOD),
                    await api.post(GOOD, key=unseen),
                    await api.batch({"notifications": [GOOD, {}]}),
                ]
            for answer in answers:
                assert (answer.status, answer.json["code"]) == (503, "unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
    finally:
        await redis.stop()
