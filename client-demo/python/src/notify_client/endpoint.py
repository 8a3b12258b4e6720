"""Where the server is, and with which key: checked once, before anything is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from notify_client.errors import Misconfigured
from notify_client.version import VERSION


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and a key. The key is in no repr."""

    url: str
    api_key: str = field(repr=False)

    @classmethod
    def of(cls, url: str | None, api_key: str | None) -> Self:
        """What was given, else NOTIFY_URL and NOTIFY_API_KEY. Raises Misconfigured."""
        url = (url or os.environ.get("NOTIFY_URL", "")).strip()
        key = (api_key or os.environ.get("NOTIFY_API_KEY", "")).strip()
        if not url:
            raise Misconfigured("Say where notify is: set NOTIFY_URL, or give url='http://localhost:8081'")
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises when it is no number
        except ValueError as error:
            raise Misconfigured("The URL (NOTIFY_URL) cannot be read: http://localhost:8081") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(
                "The URL (NOTIFY_URL) must begin with http:// or https://: http://localhost:8081"
            )
        if parts.username is not None or parts.password is not None:
            raise Misconfigured(
                "The URL (NOTIFY_URL) must not carry a name or password: it would be logged. "
                "The key is NOTIFY_API_KEY"
            )
        if parts.query or parts.fragment:
            raise Misconfigured("The URL (NOTIFY_URL) must end before any ? or #")
        if not key:
            raise Misconfigured("An API key is needed: set NOTIFY_API_KEY, or give api_key=…")
        if not all("!" <= each <= "~" for each in key):
            raise Misconfigured(
                "The API key (NOTIFY_API_KEY) must be visible ASCII characters, without spaces"
            )
        return cls(url.rstrip("/"), key)

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {
            "Authorization": f"Bearer {self.api_key}",
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",  # so that what is read is no more than what was counted
            "User-Agent": f"notify-socketio-client/{VERSION}",
        }
