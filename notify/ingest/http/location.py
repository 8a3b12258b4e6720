"""What a request's URL says: the names in its path, and its query, both read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web
from marshmallow import Schema, fields

from notify.domain.errors import FieldError, Invalid
from notify.ingest.http.problems import pointer
from notify.ingest.schemas import load

MAX_PARAMETERS = 64
"""Most parameters in one query: no call takes as many."""
NO_TEXT = "must be UTF-8, percent-encoded"


def path_names(request: web.Request, template: str, schema: Schema) -> Mapping[str, Any]:
    """The names in the path, by the `{name}`s of its template. Raises Invalid, at `/path/<name>`.

    Taken from the path as it came: aiohttp's `match_info` does not tell `%2F` from `%252F`, and leaves alone
    what is no UTF-8.
    """
    came = request.rel_url.raw_path.split("/")
    found = {}
    for part, raw in zip(template.split("/"), came, strict=True):
        if part.startswith("{"):
            name = part[1:-1]
            try:
                # Bytes that aiohttp could not read as UTF-8 come with surrogate escapes.
                found[name] = unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode()
            except UnicodeDecodeError:
                raise _refused("path", name, NO_TEXT) from None
    loaded: Mapping[str, Any] = load(schema, found, "path")
    return loaded


def query(request: web.Request, schema: Schema) -> Mapping[str, Any]:
    """The query's parameters. Raises Invalid, at `/query/<name>`: unknown ones are not passed over.

    Those that are lists in the schema may be repeated.
    """
    raw = request.rel_url.raw_query_string
    try:
        raw.encode()  # bytes that were not percent-encoded, and no UTF-8, come with surrogate escapes
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeError:
        raise _refused("query", None, NO_TEXT) from None
    except ValueError:
        raise _refused("query", None, f"must have at most {MAX_PARAMETERS} parameters") from None
    found: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if isinstance(schema.fields.get(name), fields.List):
            found.setdefault(name, []).append(value)  # type: ignore[union-attr]
        elif name in found:
            raise _refused("query", name, "must be given once")
        else:
            found[name] = value
    loaded: Mapping[str, Any] = load(schema, found, "query")
    return loaded


def _refused(place: str, name: str | None, detail: str) -> Invalid:
    where = pointer(place) if name is None else pointer(place, name)
    return Invalid(f"{where} {detail}"[:500], errors=[FieldError(where, detail)])
