"""Reading a signed token (JWS compact serialization, RFC 7515), strictly.

PyJWT does the cryptography; the reading is ours, for two reasons. A connect may cost little, and PyJWT's
`decode` spends most of its 35 us outside of the signature. And one token is one text: no padding, no
characters of other alphabets and no stray bits in its signature, so none verifies in two spellings.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from notify.domain.errors import TokenInvalid
from notify.gateway.auth.signing_keys import VERIFIERS

LONGEST_TOKEN: Final = 8 * 1024
_LONGEST_KID: Final = 256
_HEADERS_KNOWN: Final = 64
"""Headers that are remembered: anybody may send some, of 8 KiB at most."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""A token of a stated other type (a logout token, a proof of possession) is not one to connect with
(RFC 8725 section 3.11)."""

_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", b"===", b"==", b"=")


class SignedToken(NamedTuple):
    """A token taken apart, nothing of it verified yet."""

    algorithm: str
    kid: str | None
    signed: bytes
    payload: bytes
    signature: bytes

    def is_verified_by(self, keys: Iterable[Any]) -> bool:
        """True when one of the keys (which must be of `algorithm`) made the signature."""
        verifier = VERIFIERS[self.algorithm]
        return any(verifier.verify(self.signed, key, self.signature) for key in keys)

    def claims(self) -> dict[str, Any]:
        """What a verified token says. Raises TokenInvalid when that is not a JSON object."""
        return _object(self.payload, "payload")


def read(token: object, algorithms: tuple[str, ...]) -> SignedToken:
    """Take a token apart. Raises TokenInvalid, with a sentence that holds nothing of the token."""
    if not isinstance(token, str):
        raise TokenInvalid("The token must be a string.")
    if len(token) > LONGEST_TOKEN:
        raise TokenInvalid(f"The token is longer than {LONGEST_TOKEN} characters.")
    try:
        text = token.encode("ascii")
    except UnicodeEncodeError:
        raise TokenInvalid("The token contains characters that no JWT has.") from None
    parts = text.split(b".")
    if len(parts) != 3:
        encrypted = len(parts) == 5
        raise TokenInvalid(
            "The token is encrypted; a signed one is needed."
            if encrypted
            else "The token is not a JWT: it must have three parts."
        )
    head, payload, signature = parts
    algorithm, kid = _algorithm_and_kid(head, algorithms)
    if not signature:
        raise TokenInvalid("The token is not signed.")
    proof = _decode(signature, "signature")
    if _encode(proof) != signature:
        raise TokenInvalid("The token's signature is not base64url.")
    return SignedToken(algorithm, kid, text[: len(head) + 1 + len(payload)], payload, proof)


@lru_cache(maxsize=_HEADERS_KNOWN)
def _algorithm_and_kid(head: bytes, algorithms: tuple[str, ...]) -> tuple[str, str | None]:
    """What a token's header names, once it is found good. All tokens of an issuer have the same."""
    header = _object(head, "header")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenInvalid(f"The token must be signed with {' or '.join(algorithms)}.")
    if "crit" in header or "b64" in header:
        raise TokenInvalid("The token's header requires an extension that is not supported (`crit`, `b64`).")
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise TokenInvalid("The token's `typ` must be `JWT` or `at+jwt`.")
    if "kid" in header and not (isinstance(kid, str) and len(kid) <= _LONGEST_KID):
        raise TokenInvalid("The token's `kid` must be a string of at most 256 characters.")
    return algorithm, kid


def _object(segment: bytes, part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(_decode(segment, part))
    except orjson.JSONDecodeError:
        # The parser's own words would quote the token.
        raise TokenInvalid(f"The token's {part} is not JSON.") from None
    if not isinstance(value, dict):
        raise TokenInvalid(f"The token's {part} is not a JSON object.")
    return value


def _decode(segment: bytes, part: str) -> bytes:
    try:
        padded = segment.translate(_TO_BASE64) + _PADDING[len(segment) % 4]
        return binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        raise TokenInvalid(f"The token's {part} is not base64url.") from None


def _encode(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")
