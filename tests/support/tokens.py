"""Tokens for clients under test."""

from __future__ import annotations

import time
from typing import Any

import jwt

JWT_SECRET = "a secret of the tests, 32 bytes and more"
API_KEY = "a-key-of-the-tests-0123456789abcdef"


def mint(user: str, *, expires_in_s: float = 3600, secret: str = JWT_SECRET, **claims: Any) -> str:
    """A token for `user`; further claims as keywords (`join=["lobby"]`), None leaves one out."""
    now = int(time.time())
    full = {"sub": user, "iat": now, "exp": int(now + expires_in_s), **claims}
    return jwt.encode({name: value for name, value in full.items() if value is not None}, secret, "HS256")
