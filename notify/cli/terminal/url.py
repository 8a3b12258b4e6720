"""URLs on the command line."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click


class Url(click.ParamType[str]):
    """An http:// or https:// URL of a server, without a slash at its end."""

    name = "url"

    def __init__(self, example: str) -> None:
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The URL, or a sentence that names the option and the variable it may come from."""
        text = str(value).strip()
        named = f"{text!r} ({param.opts[0]} or {param.envvar})" if param and param.envvar else repr(text)
        try:
            parts = urlsplit(text)
            _ = parts.port  # raises when it is no number
        except ValueError:
            self.fail(f"{named} cannot be read as a URL: write {self._example}.", param, ctx)
        if parts.scheme not in ("http", "https"):
            likely = f"http://{text}" if "://" not in text else self._example
            self.fail(f"{named} does not begin with http:// or https://: write {likely}.", param, ctx)
        if not parts.hostname:
            self.fail(f"{named} names no host: write {self._example}.", param, ctx)
        return text.rstrip("/")
