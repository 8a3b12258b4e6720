"""Keys that an issuer publishes: fetched from a real server, rotated, down, and malicious."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from notify.domain.errors import TokenInvalid, Unavailable
from notify.gateway.auth import jwks
from notify.gateway.auth.authenticator import Authenticator
from notify.gateway.auth.jwks import ABSENT_S, PublishedKeys, _ttl_s
from notify.gateway.auth.signing_keys import MOST_TRIED, from_jwks
from tests.gateway.issuer import Issuer, b64, claims, ec_key, jwk, private_pem, raw, rsa_key, served, token


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with served(Issuer()) as issuer:
        issuer.keys = [jwk(rsa_key(), "one")]
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(issuer: Issuer, clock: Clock) -> AsyncIterator[Authenticator]:
    auth = Authenticator(jwks_url=issuer.url, monotonic=clock)
    yield auth
    await auth.stop()


async def refusal(auth: Authenticator, given: str) -> str:
    with pytest.raises((TokenInvalid, Unavailable)) as caught:
        await auth.verify(given)
    error = caught.value
    if isinstance(error, Unavailable):
        assert error.retryable
        assert error.retry_after_s is not None
        assert 0 < error.retry_after_s <= 10
    assert not any(len(part) > 6 and part in error.detail for part in given.split("."))
    return error.code


async def test_keys_are_fetched_once_and_kept(auth: Authenticator, issuer: Issuer):
    issuer.keys.append(jwk(ec_key(), "two", use="sig", alg="ES256", key_ops=["verify"]))
    await auth.start()
    for _ in range(5):
        assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"
        assert (await auth.verify(token(ec_key(), kid="two"))).user == "42"
    assert issuer.asked == 1


async def test_a_hundred_at_once_make_one_fetch(auth: Authenticator, issuer: Issuer):
    issuer.hold = asyncio.Event()
    waiting = [asyncio.create_task(auth.verify(token(rsa_key(), kid="one"))) for _ in range(100)]
    while not issuer.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()  # whoever began the fetch may go; the others still get it
    await asyncio.wait(waiting[:1])
    issuer.hold.set()
    found = await asyncio.gather(*waiting[1:])
    assert {identity.user for identity in found} == {"42"}
    assert issuer.asked == 1


async def test_a_new_key_is_found_when_a_token_names_it(auth: Authenticator, issuer: Issuer, clock: Clock):
    await auth.verify(token(rsa_key(), kid="one"))
    issuer.keys = [jwk(rsa_key("new"), "two")]
    clock.now += 11
    assert (await auth.verify(token(rsa_key("new"), kid="two"))).user == "42"
    assert await refusal(auth, token(rsa_key(), kid="one")) == "unavailable"  # asked too recently to be sure
    clock.now += 11
    assert await refusal(auth, token(rsa_key(), kid="one")) == "token_invalid"
    assert issuer.asked == 3


async def test_made_up_key_names_cost_one_fetch_in_ten_seconds(
    auth: Authenticator, issuer: Issuer, clock: Clock
):
    await auth.start()
    clock.now += 11
    codes = {await refusal(auth, token(rsa_key("evil"), kid=f"kid{n}")) for n in range(500)}
    assert issuer.asked == 2
    assert codes == {"token_invalid", "unavailable"}
    assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"
    assert len(auth._published._absent) <= 256  # type: ignore[union-attr]


async def test_a_name_that_was_asked_for_and_is_not_there_is_refused_for_good(
    auth: Authenticator, issuer: Issuer, clock: Clock
):
    assert await refusal(auth, token(rsa_key("evil"), kid="evil")) == "token_invalid"
    clock.now += ABSENT_S
    assert await refusal(auth, token(rsa_key("evil"), kid="evil")) == "token_invalid"
    assert issuer.asked == 2
    assert await refusal(auth, token(rsa_key("evil"), kid="evil")) == "token_invalid"
    assert issuer.asked == 2
    clock.now += 11
    issuer.keys.append(jwk(rsa_key("evil"), "evil"))
    assert (await auth.verify(token(rsa_key("evil"), kid="evil"))).user == "42"


async def test_a_key_that_somebody_named_before_it_was_published_is_not_refused_for_good(
    auth: Authenticator, issuer: Issuer, clock: Clock
):
    await auth.start()
    clock.now += 11
    assert await refusal(auth, token(rsa_key("new"), kid="two")) == "token_invalid"
    issuer.keys.append(jwk(rsa_key("new"), "two"))
    clock.now += 5
    assert await refusal(auth, token(rsa_key("new"), kid="two")) == "unavailable"  # and it tries again
    clock.now += 6
    assert (await auth.verify(token(rsa_key("new"), kid="two"))).user == "42"


async def test_a_key_signed_by_another_under_a_known_name_is_refused(
    auth: Authenticator, issuer: Issuer, clock: Clock
):
    await auth.start()
    for _ in range(50):
        assert await refusal(auth, token(rsa_key("evil"), kid="one")) == "token_invalid"
    assert issuer.asked == 1
    clock.now += 11
    for _ in range(50):
        assert await refusal(auth, token(rsa_key("evil"), kid="one")) == "token_invalid"
    assert issuer.asked == 2


async def test_a_key_changed_under_its_old_name_is_found(auth: Authenticator, issuer: Issuer, clock: Clock):
    await auth.start()
    issuer.keys = [jwk(rsa_key("new"), "one")]
    clock.now += 11
    assert (await auth.verify(token(rsa_key("new"), kid="one"))).user == "42"


async def test_keys_that_were_withdrawn_stop_working_when_the_answer_is_stale(
    auth: Authenticator, issuer: Issuer, clock: Clock
):
    await auth.start()
    issuer.keys = [jwk(rsa_key("new"), "two")]
    clock.now += 299
    assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"
    clock.now += 2
    assert await refusal(auth, token(rsa_key(), kid="one")) == "token_invalid"
    assert issuer.asked == 2


async def test_an_emptied_set_withdraws_all(auth: Authenticator, issuer: Issuer, clock: Clock):
    await auth.start()
    issuer.keys = []
    clock.now += 301
    assert await refusal(auth, token(rsa_key(), kid="one")) == "token_invalid"


@pytest.mark.parametrize(
    ("caching", "ttl_s"),
    [
        ("", 300),
        ("max-age=600", 600),
        ("public, max-age=120, must-revalidate", 120),
        ("MAX-AGE = 120", 120),
        ('max-age="90"', 90),
        ("max-age=5", 60),
        ("max-age=999999999", 3600),
        ("max-age=99999999999999999999", 3600),
        ("s-maxage=900", 300),
        ("x-max-age=900", 300),
        ("max-age=-1", 300),
        ("max-age=soon", 300),
        ("no-store", 60),
        ("no-cache, max-age=900", 60),
    ],
)
def test_how_long_an_answer_stays_fresh(caching: str, ttl_s: float):
    assert _ttl_s(caching) == ttl_s


async def test_the_max_age_of_the_answer_is_honoured(auth: Authenticator, issuer: Issuer, clock: Clock):
    issuer.headers["Cache-Control"] = "public, max-age=1800"
    await auth.start()
    clock.now += 1799
    await auth.verify(token(rsa_key(), kid="one"))
    assert issuer.asked == 1
    clock.now += 2
    await auth.verify(token(rsa_key(), kid="one"))
    assert issuer.asked == 2


async def test_down_at_the_start_refuses_for_now_and_recovers(clock: Clock):
    issuer = Issuer()
    issuer.keys = [jwk(rsa_key(), "one")]
    async with served(issuer):
        port = int(issuer.url.split(":")[2].split("/")[0])
    auth = Authenticator(jwks_url=issuer.url, monotonic=clock)
    await auth.start()
    assert await refusal(auth, token(rsa_key(), kid="one")) == "unavailable"
    assert await refusal(auth, token(rsa_key())) == "unavailable"
    async with served(issuer, port):
        assert await refusal(auth, token(rsa_key(), kid="one")) == "unavailable"  # the second is not over yet
        assert issuer.asked == 0
        clock.now += 1.1
        assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"
    await auth.stop()


BROKEN: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "404": {"status": 404},
    "not JSON": {"body": b"<html>"},
    "not UTF-8": {"body": b'{"keys":["\xff"]}'},
    "a list": {"body": b"[]"},
    "no keys": {"body": b"{}"},
    "keys an object": {"body": b'{"keys":{}}'},
    "nested": {"body": b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}"},
    "too large": {"body": b'{"keys":[' + b" " * 300_000 + b"]}"},
    "empty": {"body": b""},
    "a gzip bomb": {"body": gzip.compress(b" " * 50_000_000), "headers": {"Content-Encoding": "gzip"}},
    "not gzip": {"body": b"{}", "headers": {"Content-Encoding": "gzip"}},
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_endpoint_leaves_the_last_keys_in_use_for_a_day(
    auth: Authenticator, issuer: Issuer, clock: Clock, fault: str
):
    await auth.start()
    for name, value in BROKEN[fault].items():
        setattr(issuer, name, value)
    clock.now += 301
    for _ in range(20):
        assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"
    assert issuer.asked == 2
    assert auth._published.failures == 1  # type: ignore[union-attr]
    assert await refusal(auth, token(rsa_key("new"), kid="two")) == "unavailable"
    clock.now += 86_400
    assert await refusal(auth, token(rsa_key(), kid="one")) == "unavailable"


async def test_back_from_a_fault_new_keys_are_used(auth: Authenticator, issuer: Issuer, clock: Clock):
    await auth.start()
    issuer.status = 503
    clock.now += 301
    await auth.verify(token(rsa_key(), kid="one"))
    issuer.status, issuer.keys = 200, [jwk(rsa_key("new"), "two")]
    clock.now += 11
    assert (await auth.verify(token(rsa_key("new"), kid="two"))).user == "42"


async def test_while_the_endpoint_hangs_nobody_waits_twice(
    auth: Authenticator, issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT_S", 0.05)
    await auth.start()
    issuer.hold = asyncio.Event()
    clock.now += 301
    assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"  # after the timeout
    assert auth._published.failures == 1  # type: ignore[union-attr]
    clock.now += 11
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT_S", 30)
    assert (await auth.verify(token(rsa_key(), kid="one"))).user == "42"
    assert auth._published._task is not None  # type: ignore[union-attr]
    issuer.hold.set()


async def test_redirects_are_not_followed(auth: Authenticator, issuer: Issuer):
    async with served(Issuer()) as evil:
        evil.keys = [jwk(rsa_key("evil"), "one")]
        issuer.status, issuer.headers = 302, {"Location": evil.url}
        assert await refusal(auth, token(rsa_key("evil"), kid="one")) == "unavailable"
        assert evil.asked == 0


async def test_stopping_ends_a_fetch(issuer: Issuer, clock: Clock):
    issuer.hold = asyncio.Event()
    auth = Authenticator(jwks_url=issuer.url, monotonic=clock)
    waiting = asyncio.create_task(auth.verify(token(rsa_key(), kid="one")))
    while not issuer.asked:
        await asyncio.sleep(0)
    await auth.stop()
    with pytest.raises(Unavailable):
        await waiting
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "jwks"]
    issuer.hold.set()


SYMMETRIC = {"kty": "oct", "kid": "one", "k": b64(b"published, so it is no secret!!!!")}


@pytest.mark.parametrize(
    "key",
    [
        SYMMETRIC,
        SYMMETRIC | {"alg": "RS256"},
        jwk(rsa_key(), "one", use="enc"),
        jwk(rsa_key(), "one", key_ops=["encrypt"]),
        jwk(rsa_key(), "one", key_ops="verify"),
        jwk(rsa_key(), "one", alg="RS512"),
        jwk(rsa_key(), "one", alg="HS256"),
        jwk(rsa_key(), "one", alg=["RS256"]),
        jwk(rsa_key(), "one") | {"kid": 1},
        jwk(rsa_key("short", 1024), "one"),
        jwk(ec_key("p384", ec.SECP384R1), "one"),
        jwk(rsa_key(), "one", d="AQAB"),
        RSAAlgorithm.to_jwk(rsa_key(), as_dict=True) | {"kid": "one", "key_ops": ["sign", "verify"]},
        {"kty": "RSA", "kid": "one"},
        {"kty": "RSA", "kid": "one", "n": 5, "e": "AQAB"},
        {"kty": "RSA", "kid": "one", "n": "", "e": ""},
        {"kty": "EC", "kid": "one", "crv": "P-256", "x": b64(b"\x01" * 32), "y": b64(b"\x02" * 32)},
        {"kty": ["RSA"], "kid": "one"},
        private_pem(rsa_key()),
        None,
        [],
    ],
)
async def test_keys_that_are_not_for_verifying_are_passed_over(issuer: Issuer, auth: Authenticator, key: Any):
    issuer.keys = [key, jwk(ec_key(), "good")]
    assert await refusal(auth, token(rsa_key(), kid="one")) == "token_invalid"
    hmac_of_published = raw(
        {"alg": "HS256", "kid": "one"}, claims(), secret=b"published, so it is no secret!!!!"
    )
    assert await refusal(auth, hmac_of_published) == "token_invalid"
    assert (await auth.verify(token(ec_key(), kid="good"))).user == "42"


async def test_two_keys_of_one_name_are_both_tried(auth: Authenticator, issuer: Issuer):
    issuer.keys = [jwk(rsa_key("a"), "one"), jwk(rsa_key("b"), "one"), jwk(ec_key(), "one")]
    for key in (rsa_key("a"), rsa_key("b"), ec_key()):
        assert (await auth.verify(token(key, kid="one"))).user == "42"


async def test_without_a_kid_every_key_may_be_the_one(auth: Authenticator, issuer: Issuer):
    issuer.keys = [jwk(rsa_key("a"), "one"), jwk(rsa_key("b"), "two")]
    assert (await auth.verify(token(rsa_key("b")))).user == "42"
    issuer.keys = [jwk(rsa_key("c"))]
    auth._published._next_fetch = 0  # type: ignore[union-attr]
    assert (await auth.verify(token(rsa_key("c"), kid="some"))).user == "42"


def test_a_forged_token_is_tried_on_few_keys():
    keys = from_jwks({"keys": [jwk(rsa_key(), f"k{n}") for n in range(64)]}, ["RS256"])
    assert len(keys.find("RS256", None)) == MOST_TRIED
    assert len(keys.find("RS256", "k63")) == 1


def test_the_url_must_be_one():
    for url in ("file:///etc/passwd", "ftp://x/", "jwks.json", "", "https:///x"):
        with pytest.raises(ValueError, match="URL"):
            PublishedKeys(url, algorithms=["RS256"])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary().map(b64)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "use", "alg", "key_ops", "k"])


@given(
    base=st.sampled_from(
        [jwk(rsa_key(), "one"), jwk(ec_key(), "one"), SYMMETRIC, {"kty": "RSA"}, {"kty": "EC"}]
    ),
    changes=st.dictionaries(MEMBERS, JSON, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_any_key_is_used_or_passed_over(base: dict[str, Any], changes: dict[str, Any]):
    document = json.loads(json.dumps({"keys": [base | changes]}))
    for key in from_jwks(document, ["RS256", "ES256"]).keys:
        assert key.algorithm in ("RS256", "ES256")
