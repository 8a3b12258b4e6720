"""The keys that verify tokens, and what each may be used for.

An algorithm belongs to a kind of key and never to another: a secret verifies HS256, an RSA key RS256, a P-256
key ES256 (RFC 8725 sections 2.1 and 3.1). So a token that was signed with HS256 and the text of a public key
finds no key at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

HS256: Final = HMACAlgorithm(HMACAlgorithm.SHA256)
VERIFIERS: Final = {
    "HS256": HS256,
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256, SECP256R1),
}
"""PyJWT's algorithms by name: `VERIFIERS[name].verify(signed, key, signature)`."""

PUBLIC_ALGORITHMS: Final = ("RS256", "ES256")
SHORTEST_SECRET_BYTES: Final = 32
SHORTEST_RSA_BITS, LONGEST_RSA_BITS = 2048, 8192
MOST_TRIED: Final = 8
"""Keys that are tried for one token: bounds what a forged token may cost."""
_MOST_PUBLISHED: Final = 64
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class SigningKey(NamedTuple):
    """A key, the one algorithm it is for, and its name if it has one."""

    kid: str | None
    algorithm: str
    key: Any

    def __repr__(self) -> str:
        return f"<SigningKey {self.algorithm} kid={self.kid!r}>"


class KeySet:
    """An unchanging set of keys."""

    __slots__ = ("keys",)

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        self.keys = tuple(keys)

    def find(self, algorithm: str, kid: str | None) -> tuple[Any, ...]:
        """The keys that may have made such a signature, `MOST_TRIED` at most.

        A key without a name may have made any; a token without a `kid` may be of any key. Two keys of one
        name (it happens while keys are rotated) are both tried.
        """
        found = [
            known.key
            for known in self.keys
            if known.algorithm == algorithm and (kid is None or known.kid is None or known.kid == kid)
        ]
        return tuple(found[:MOST_TRIED])


def from_secret(secret: bytes) -> KeySet:
    """The one key for HS256. Raises ValueError when it is short (RFC 7518 section 3.2) or a public key."""
    if len(secret) < SHORTEST_SECRET_BYTES:
        raise ValueError(f"the secret has {len(secret)} bytes; it needs at least {SHORTEST_SECRET_BYTES}")
    try:
        return KeySet([SigningKey(None, "HS256", HS256.prepare_key(secret))])
    except PyJWTError as error:
        raise ValueError(
            "the secret is a public key, a certificate or a JWK, which others may know"
        ) from error


def from_pem(text: str, algorithms: Collection[str]) -> KeySet:
    """The public keys of one or more PEM blocks: while keys are rotated the old and the new stand together.

    Raises ValueError when there is none, too many, or one that no algorithm of `algorithms` uses.
    """
    keys = []
    for block in _PEM.finditer(text):
        label = block.group(1)
        if label not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            raise ValueError(f"expected PEM blocks of public keys, but found a {label.lower()}")
        try:
            key = load_pem_public_key(block.group().encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError("a PEM block does not hold a public key") from error
        algorithm = algorithm_of(key)
        if algorithm is None:
            raise ValueError("public keys must be RSA of 2048 to 8192 bits, or P-256")
        if algorithm not in algorithms:
            raise ValueError(f"a public key is for {algorithm}, which is not among the algorithms")
        keys.append(SigningKey(None, algorithm, key))
    if not 1 <= len(keys) <= MOST_TRIED:
        raise ValueError(f"expected 1 to {MOST_TRIED} public keys in PEM, but found {len(keys)}")
    return KeySet(keys)


def from_jwks(document: object, algorithms: Collection[str]) -> KeySet:
    """The usable keys of a JWK set (RFC 7517), which may be none. Raises ValueError when it is not one.

    Passed over: symmetric keys (published, they are no secret), private keys (likewise), keys for encryption,
    keys for other algorithms, and what does not parse (RFC 7517 section 5).
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("the document is not a JWK set: it has no list of `keys`")  # noqa: TRY004
    found = (_published(jwk, algorithms) for jwk in document["keys"][:_MOST_PUBLISHED])
    return KeySet(key for key in found if key is not None)


def algorithm_of(key: object) -> str | None:
    """The algorithm that a public key is for; None when it is too weak, too costly or of another kind."""
    if isinstance(key, RSAPublicKey):
        return "RS256" if SHORTEST_RSA_BITS <= key.key_size <= LONGEST_RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return None


def _published(jwk: object, algorithms: Collection[str]) -> SigningKey | None:
    if not isinstance(jwk, dict) or "d" in jwk or jwk.get("use", "sig") != "sig":
        return None
    kid, uses = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if not isinstance(kid, str | None) or not isinstance(uses, list) or "verify" not in uses:
        return None
    if jwk.get("kty") not in ("RSA", "EC"):
        return None
    try:
        key = RSAAlgorithm.from_jwk(jwk) if jwk["kty"] == "RSA" else ECAlgorithm.from_jwk(jwk)
        algorithm = algorithm_of(key)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError):
        return None
    if algorithm not in algorithms or jwk.get("alg", algorithm) != algorithm:
        return None
    return SigningKey(kid, str(algorithm), key)
