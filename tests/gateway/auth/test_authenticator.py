"""Tokens signed with a secret or the keys of a PEM: what verifies, and what is refused with which code."""

from __future__ import annotations

import json
import time
from collections.abc import Coroutine
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notify.domain.errors import NotifyError, TokenExpired, TokenInvalid, TokenMissing
from notify.gateway.auth.authenticator import Authenticator, Identity
from notify.gateway.auth.jws import LONGEST_TOKEN
from tests.gateway.issuer import SECRET, b64, claims, ec_key, pem, private_pem, raw, rsa_key, token

HEAD = {"alg": "HS256", "typ": "JWT"}
NEXT_DAY = int(time.time()) + 86_400
"""Still to come when the last of the tests runs."""


def finished(coroutine: Coroutine[Any, Any, Identity]) -> Identity:
    """The result of a coroutine that never waits: with keys at hand, verifying does not."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        found: Identity = stop.value
        return found
    raise AssertionError("it waited")


def verify(given: object, **options: Any) -> Identity:
    return finished(Authenticator(**({"secret": SECRET} | options)).verify(given))


def refusal(given: object, **options: Any) -> NotifyError:
    with pytest.raises(NotifyError) as caught:
        verify(given, **options)
    error = caught.value
    assert type(error) in (TokenMissing, TokenInvalid, TokenExpired)
    assert error.detail.endswith(".")
    if isinstance(given, str):
        assert not any(len(part) > 6 and part in error.detail for part in given.split("."))
    assert error.__cause__ is None
    return error


def test_a_token_says_who_may_what():
    now = int(time.time())
    found = verify(token(join=["team:1", "team:1", "lobby"], rooms=["project:*"], send=["user:*", "team:1"]))
    assert found == Identity("42", now + 3600, now, ("team:1", "lobby"), ("project:*",), ("user:*", "team:1"))
    assert verify(token()) == Identity("42", now + 3600, now, (), (), ())


@pytest.mark.parametrize("sub", ["Zoë", "日本", "😀" * 256, "a b", "x" * 256, "auth0|5f7c", "@42"])
def test_users_of_all_scripts(sub: str):
    assert verify(token(sub=sub)).user == sub


@pytest.mark.parametrize("missing", [None, ""])
def test_no_token(missing: object):
    assert refusal(missing).code == "token_missing"


@pytest.mark.parametrize("given", [0, 5, True, b"x", [], ["x"], {}, {"token": "x"}, 1.5, object()])
def test_a_token_that_is_no_string(given: object):
    assert refusal(given).code == "token_invalid"
    assert refusal(given).detail == "The token must be a string."


def good_parts() -> tuple[str, str, str]:
    header, payload, signature = token().split(".")
    return header, payload, signature


def spelled_otherwise() -> str:
    """A signature of 32 bytes leaves two bits of its last character unused: set one."""
    made = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return made[:-1] + alphabet[alphabet.index(made[-1]) ^ 1]


H, P, S = good_parts()
SHAPES = {
    "nothing but dots": "..",
    "one part": "abc",
    "two parts": f"{H}.{P}",
    "four parts": f"{H}.{P}.{S}.{S}",
    "encrypted (five parts)": f"{H}.{P}.{S}.{S}.{S}",
    "no signature": f"{H}.{P}.",
    "no header": f".{P}.{S}",
    "no payload": f"{H}..{S}",
    "padding": f"{H}.{P}.{S}=",
    "bits left over": spelled_otherwise(),
    "other alphabet": f"{H}.{P}.{'+' + S[1:]}",
    "space in front": f" {H}.{P}.{S}",
    "newline after": f"{H}.{P}.{S}\n",
    "a scheme in front": f"Bearer {H}.{P}.{S}",
    "not ASCII": f"{H}.{P}.{S}é",
    "fullwidth": f"{H}.{P}.{S[:-1]}Ａ",
    "null byte": f"{H}.{P}.{S}\x00",
    "lone surrogate": f"{H}.{P}.{S}\ud800",
    "header not JSON": raw(b"{", claims()),
    "header not UTF-8": raw(b'{"alg":"HS256","x":"\xff"}', claims()),
    "header a list": raw(["HS256"], claims()),
    "header a string": raw("HS256", claims()),
    "header deeply nested": raw(b'{"alg":"HS256","x":' + b"[" * 2900 + b"]" * 2900 + b"}", claims()),
    "payload not JSON": raw(HEAD, b"sub=42"),
    "payload not UTF-8": raw(HEAD, b'{"sub":"\xff","exp":9999999999}'),
    "payload a list": raw(HEAD, [claims()]),
    "payload a string": raw(HEAD, "42"),
    "payload null": raw(HEAD, None),
    "payload deeply nested": raw(HEAD, b'{"sub":' + b"[" * 2900 + b"]" * 2900 + b"}"),
    "payload with NaN": raw(HEAD, b'{"sub":"42","exp":NaN}'),
    "payload another token": raw(HEAD, token().encode()),
}
HEADERS: dict[str, dict[str, Any]] = {
    "alg none": {"alg": "none"},
    "alg None": {"alg": "None"},
    "alg nOnE": {"alg": "nOnE"},
    "alg empty": {"alg": ""},
    "alg null": {"alg": None},
    "no alg": {"alg": ...},
    "alg a list": {"alg": ["HS256"]},
    "alg an object": {"alg": {"HS256": 1}},
    "alg in small letters": {"alg": "hs256"},
    "alg HS384": {"alg": "HS384"},
    "alg HS512": {"alg": "HS512"},
    "alg RS256": {"alg": "RS256"},
    "crit unknown": {"crit": ["exp"]},
    "crit b64": {"crit": ["b64"], "b64": True},
    "crit empty": {"crit": []},
    "crit null": {"crit": None},
    "b64 false": {"b64": False},
    "typ an object": {"typ": {"JWT": 1}},
    "typ null": {"typ": None},
    "typ of a logout token": {"typ": "logout+jwt"},
    "typ of a proof": {"typ": "dpop+jwt"},
    "kid a number": {"kid": 1},
    "kid an object": {"kid": {"a": 1}},
    "kid null": {"kid": None},
    "kid long": {"kid": "k" * 257},
}
CLAIMS: dict[str, dict[str, Any]] = {
    "no exp": {"exp": None},
    "exp a string": {"exp": "9999999999"},
    "exp true": {"exp": True},
    "exp a list": {"exp": [9999999999]},
    "exp in milliseconds": {"exp": int(time.time() * 1000) + 3600_000},
    "exp without end": {"exp": 1e300},
    "no sub": {"sub": None},
    "sub a number": {"sub": 42},
    "sub empty": {"sub": ""},
    "sub a list": {"sub": ["42"]},
    "sub true": {"sub": True},
    "sub long": {"sub": "x" * 257},
    "sub with a control character": {"sub": "4\n2"},
    "sub with a null": {"sub": "42\x00"},
    "nbf ahead": {"nbf": NEXT_DAY},
    "nbf a string": {"nbf": "0"},
    "iat ahead": {"iat": NEXT_DAY},
    "iat an object": {"iat": {}},
    "an audience, none set": {"aud": "notify"},
    "an empty audience, none set": {"aud": []},
    "join a string": {"join": "team:1"},
    "join an empty string": {"join": ""},
    "join an object": {"join": {"team:1": True}},
    "join false": {"join": False},
    "join with a number": {"join": ["team:1", 7]},
    "join with a list": {"join": [["team:1"]]},
    "join with an object": {"join": [{}]},
    "join a user's room": {"join": ["@user/7"]},
    "join a pattern": {"join": ["team:*"]},
    "join an empty name": {"join": [""]},
    "join too many": {"join": [f"r{n}" for n in range(129)]},
    "rooms with @": {"rooms": ["@user/*"]},
    "rooms too many": {"rooms": [f"r{n}" for n in range(101)]},
    "rooms a string": {"rooms": "*"},
    "send with @": {"send": ["@everyone"]},
    "send null within": {"send": [None]},
    "send to a user without a name": {"send": ["user:"]},
    "send to a room with @": {"send": ["room:@user/7"]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_shape_is_refused(shape: str):
    assert refusal(SHAPES[shape]).code == "token_invalid"


@pytest.mark.parametrize("header", HEADERS)
def test_a_wrong_header_is_refused_though_the_signature_is_right(header: str):
    made = {name: value for name, value in (HEAD | HEADERS[header]).items() if value is not ...}
    assert refusal(raw(made, claims())).code == "token_invalid"


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_wrong_claim_is_refused(claim: str):
    assert refusal(raw(HEAD, claims(**CLAIMS[claim]))).code == "token_invalid"


def test_the_detail_tells_what_to_mend():
    assert "`sub`, the user's id, must be a string: the issuer" in refusal(raw(HEAD, claims(sub=42))).detail
    assert "milliseconds" in refusal(raw(HEAD, claims(exp=1e12))).detail
    assert "entry 1, must not begin with `@`" in refusal(token(join=["a", "@b"])).detail
    assert "signed with HS256" in refusal(token(rsa_key())).detail
    assert "NOTIFY_JWT_AUDIENCE" in refusal(token(aud="x")).detail
    assert "encrypted" in refusal(SHAPES["encrypted (five parts)"]).detail
    assert "not signed" in refusal(SHAPES["no signature"]).detail


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "sub"])
def test_null_is_no_time_and_no_user(claim: str):
    assert refusal(raw(HEAD, claims() | {claim: None})).code == "token_invalid"


def test_null_counts_as_absent_where_nothing_is_needed():
    found = verify(raw(HEAD, claims() | {"join": None, "rooms": None, "send": [], "aud": None}))
    assert (found.join, found.rooms, found.send) == ((), (), ())


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", ...])
def test_types_of_tokens_to_connect_with(typ: object):
    assert verify(raw({"alg": "HS256"} | ({} if typ is ... else {"typ": typ}), claims())).user == "42"


def test_a_token_is_over_at_its_exp():
    now = 1_800_000_000.0
    made = token(exp=1_800_000_000, iat=1_799_999_000)
    assert refusal(made, clock=lambda: now).code == "token_expired"
    assert refusal(made, clock=lambda: now + 9).code == "token_expired"
    assert verify(made, clock=lambda: now - 0.1).expires_at == 1_800_000_000
    assert refusal(token(exp=1), secret=SECRET).code == "token_expired"
    assert refusal(token(exp=-5), secret=SECRET).code == "token_expired"


def test_an_expired_token_that_is_also_wrong_is_wrong():
    assert refusal(token(b"x" * 32, exp=1)).code == "token_invalid"
    assert refusal(token(exp=1, aud="else")).code == "token_invalid"
    assert refusal(token(exp=1, sub="")).code == "token_invalid"


def test_an_issuer_whose_clock_is_ahead_is_forgiven():
    ahead = int(time.time()) + 8
    assert verify(token(nbf=ahead, iat=ahead)).issued_at == ahead
    assert refusal(token(iat=ahead), leeway_s=2.0).code == "token_invalid"


def test_times_may_have_fractions():
    found = verify(raw(HEAD, claims(exp=time.time() + 100.7, iat=1.9)))
    assert isinstance(found.expires_at, int)
    assert found.issued_at == 1


def test_a_token_without_iat_counts_as_old():
    assert verify(token(iat=None)).issued_at == 0
    assert verify(token(iat=-7)).issued_at == 0


def test_issuer_and_audience_are_checked_when_configured():
    options = {"issuer": "https://id.example", "audience": "notify"}
    good: dict[str, Any] = {"iss": "https://id.example", "aud": "notify"}
    assert verify(token(**good), **options).user == "42"
    assert verify(token(**good | {"aud": ["other", "notify"]}), **options).user == "42"
    wrong: list[dict[str, Any]] = [
        {"iss": None},
        {"iss": "https://id.example/"},
        {"iss": "https://evil.example"},
        {"aud": None},
        {"aud": "other"},
        {"aud": []},
        {"aud": ["other"]},
        {"aud": "notify "},
        {"aud": {"notify": 1}},
        {"aud": [["notify"]]},
    ]
    for change in wrong:
        assert refusal(token(**good | change), **options).code == "token_invalid", change
    assert (
        refusal(raw(HEAD, claims(**good | {"iss": ["https://id.example"]})), **options).code
        == "token_invalid"
    )
    assert verify(token(iss="anyone")).user == "42"


def test_an_audience_of_another_service_is_refused_though_none_is_configured():
    """RFC 7519 section 4.1.3: who does not identify itself with a value in `aud` MUST reject the token."""
    assert refusal(token(aud="billing")).code == "token_invalid"


def test_a_huge_token_is_refused_before_it_is_read():
    huge = token(pad="x" * LONGEST_TOKEN)
    assert refusal(huge).detail == "The token is longer than 8192 characters."
    assert refusal("a" * 50_000_000).code == "token_invalid"
    assert verify(token(pad="x" * 5000)).user == "42"


def test_other_keys_do_not_sign_for_us():
    assert refusal(token(b"another secret of 32 bytes and more")).code == "token_invalid"
    assert refusal(raw(HEAD, claims(), secret=b"")).code == "token_invalid"
    assert refusal(raw(HEAD, claims(), secret=b"\x00" * 32)).code == "token_invalid"
    header = {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"x" * 32)}, "jku": "https://evil.example/jwks"}
    assert refusal(raw(header, claims(), secret=b"x" * 32)).code == "token_invalid"


def test_public_keys_verify_and_may_stand_together_while_they_are_rotated():
    both = pem(rsa_key("one")) + "\n# the new one\n" + pem(rsa_key("two")) + pem(ec_key())
    for key in (rsa_key("one"), rsa_key("two"), ec_key()):
        assert verify(token(key, kid="whatever"), secret=None, public_key=both).user == "42"
    assert refusal(token(rsa_key("three")), secret=None, public_key=both).code == "token_invalid"
    assert refusal(token(ec_key("two")), secret=None, public_key=both).code == "token_invalid"


@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
def test_hs256_signed_with_the_public_key_is_refused(key: Any):
    text = pem(key)
    for secret in (text, text.strip(), text.replace("\n", ""), text.replace("\n", "\r\n")):
        for alg in ("HS256", "RS256", "ES256"):
            confused = raw({"alg": alg, "typ": "JWT"}, claims(), secret=secret.encode())
            assert refusal(confused, secret=None, public_key=text).code == "token_invalid"


def test_the_kind_of_key_decides_about_the_algorithm():
    es_as_rs = token(ec_key()).split(".")
    es_as_rs[0] = b64(b'{"alg":"RS256"}')
    both = pem(rsa_key()) + pem(ec_key())
    assert refusal(".".join(es_as_rs), secret=None, public_key=both).code == "token_invalid"
    only = {"secret": None, "public_key": pem(rsa_key()), "algorithms": ["RS256"]}
    assert verify(token(rsa_key()), **only).user == "42"
    assert refusal(token(ec_key()), **only).detail == "The token must be signed with RS256."
    ps256 = jwt.encode(claims(), rsa_key(), "PS256")
    assert refusal(ps256, **only).code == "token_invalid"


@pytest.mark.parametrize(
    "signature", [b"", b"\x00" * 64, b"\x00" * 63, b"\xff" * 64, b"\x30\x06\x02\x01\x00\x02\x01\x00"]
)
def test_made_up_signatures_of_elliptic_curves(signature: bytes):
    header, payload, _ = token(ec_key()).split(".")
    forged = f"{header}.{payload}.{b64(signature)}"
    assert refusal(forged, secret=None, public_key=pem(ec_key())).code == "token_invalid"


WRONG_OPTIONS: dict[str, dict[str, Any]] = {
    "no key": {},
    "two kinds of keys": {"secret": SECRET, "public_key": pem(rsa_key())},
    "an empty secret": {"secret": b""},
    "a short secret": {"secret": b"x" * 31},
    "a public key as the secret": {"secret": pem(rsa_key()).encode()},
    "a JWK as the secret": {"secret": b'{"kty":"oct","k":"aaaaaaaaaaaaaaaaaaaaaaaaaa"}'},
    "RS256 with a secret": {"secret": SECRET, "algorithms": ["RS256"]},
    "HS256 with a public key": {"public_key": pem(rsa_key()), "algorithms": ["HS256", "RS256"]},
    "alg none": {"secret": SECRET, "algorithms": ["none"]},
    "HS512": {"secret": SECRET, "algorithms": ["HS512"]},
    "no PEM": {"public_key": "hello"},
    "an empty PEM": {"public_key": ""},
    "a PEM of junk": {"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"},
    "a private key": {"public_key": private_pem(rsa_key())},
    "a short RSA key": {"public_key": pem(rsa_key("short", 1024))},
    "another curve": {"public_key": pem(ec_key("p384", ec.SECP384R1))},
    "a key nobody uses": {"public_key": pem(ec_key()), "algorithms": ["RS256"]},
    "too many keys": {"public_key": pem(ec_key()) * 9},
    "a JWK set in a file": {"jwks_url": "file:///etc/passwd"},
    "a JWK set nowhere": {"jwks_url": "https://"},
}


@pytest.mark.parametrize("options", WRONG_OPTIONS)
def test_options_that_do_not_fit_are_refused_at_the_start(options: str):
    with pytest.raises(ValueError, match=r"\w") as caught:
        Authenticator(**WRONG_OPTIONS[options])
    assert "aaaaaaaa" not in str(caught.value)


def test_equal_lists_share_one_tuple():
    auth = Authenticator(secret=SECRET)
    one = finished(auth.verify(token(sub="1", rooms=["a:*", "b"], join=["c"])))
    two = finished(auth.verify(token(sub="2", rooms=["a:*", "b"], join=["c"])))
    assert one.rooms is two.rooms
    assert one.join is two.join
    for n in range(3000):
        auth._names({"rooms": [f"room:{n}"]}, "rooms", lambda _: None, 100)
    assert len(auth._shared) <= 1024


def test_a_list_shared_as_rooms_is_still_checked_as_join():
    auth = Authenticator(secret=SECRET)
    assert finished(auth.verify(token(rooms=["a:*"]))).rooms == ("a:*",)
    with pytest.raises(TokenInvalid):
        finished(auth.verify(token(join=["a:*"])))


HS = Authenticator(secret=SECRET)
ES = Authenticator(secret=None, public_key=pem(ec_key()))
GOOD = {HS: token(join=["team:1"], rooms=["*"]), ES: token(ec_key(), kid="one")}
CHARACTERS = st.one_of(
    st.sampled_from("ABCDwxyz0189-_=.+/ \n\x00"), st.characters(exclude_categories=[]), st.just("")
)


@given(
    auth=st.sampled_from([HS, ES]),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), CHARACTERS), min_size=1, max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_a_changed_token_never_verifies(auth: Authenticator, edits: list[tuple[int, int, str]]):
    good = changed = GOOD[auth]
    for place, length, text in edits:
        at = place % (len(changed) + 1)
        changed = changed[:at] + text + changed[at + length :]
    if changed == good:
        return
    with pytest.raises((TokenMissing, TokenInvalid, TokenExpired)):
        finished(auth.verify(changed))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)
NAMES = st.one_of(JSON, st.lists(st.text(max_size=6), max_size=4))
SOON = st.integers(-3, 3).map(lambda hours: int(time.time()) + hours * 3600)
TIMES = st.one_of(SOON, st.floats(), JSON)


@given(
    said=st.fixed_dictionaries(
        {"sub": st.one_of(st.text(min_size=1), JSON), "exp": st.one_of(SOON, TIMES)},
        optional={
            "iss": st.one_of(st.just("me"), JSON),
            "aud": st.one_of(st.just("you"), st.lists(st.sampled_from(["you", "them"])), JSON),
            "nbf": TIMES,
            "iat": TIMES,
            "join": NAMES,
            "rooms": NAMES,
            "send": NAMES,
        },
    ),
    issuer=st.sampled_from([None, "me"]),
    audience=st.sampled_from([None, "you"]),
)
@example(said={"sub": "42", "exp": 9999999999}, issuer=None, audience=None)
@settings(max_examples=400, deadline=None)
def test_any_claims_are_refused_or_also_good_to_pyjwt(
    said: dict[str, Any], issuer: str | None, audience: str | None
):
    made = raw(HEAD, said)
    try:
        found = verify(made, issuer=issuer, audience=audience)
    except (TokenInvalid, TokenExpired):
        return
    assert found.user == said["sub"]
    assert all(isinstance(name, str) for name in (*found.join, *found.rooms, *found.send))
    assert isinstance(found.expires_at, int)
    options: Any = {"require": ["exp", "sub"]}
    jwt.decode(made, SECRET, ["HS256"], options, issuer=issuer, audience=audience, leeway=10)


@given(
    header=st.one_of(JSON, st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "x"]), JSON))
)
@settings(max_examples=200, deadline=None)
def test_any_header_is_refused_or_also_good_to_pyjwt(header: Any):
    if isinstance(header, dict):
        header["alg"] = "HS256"
    made = raw(header, claims())
    try:
        verify(made)
    except TokenInvalid:
        return
    jwt.decode(made, SECRET, ["HS256"])


@given(
    given=st.one_of(
        st.text(),
        JSON,
        st.binary(),
        st.lists(st.binary(max_size=40), max_size=5).map(lambda parts: ".".join(map(b64, parts))),
    )
)
@settings(max_examples=300, deadline=None)
def test_anything_else_is_refused(given: object):
    for auth in (HS, ES):
        with pytest.raises((TokenMissing, TokenInvalid)):
            finished(auth.verify(given))


def test_numbers_as_json_writes_them():
    """What the JSON parser makes of numbers that are no 64-bit integers."""
    for number in ("1e3000", "-1e3000", "1" * 400, "18446744073709551616"):
        made = raw(HEAD, f'{{"sub":"42","exp":{number}}}'.encode())
        assert refusal(made).code in ("token_invalid", "token_expired"), number


def test_the_last_of_two_equal_members_counts():
    """RFC 7519 section 4 leaves the choice; a reader before us must not see another user than we do."""
    said = json.dumps(claims())[:-1] + ',"sub":"43"}'
    assert verify(raw(HEAD, said.encode())).user == "43"
