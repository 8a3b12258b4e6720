"""`/v1/users/{id}/inbox`: what is in a user's inbox, and marking it for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import orjson
from aiohttp import web

from notify.domain.api_key import ApiKey
from notify.domain.errors import FieldError, Invalid
from notify.domain.inbox import MAX_MARKED, KnownRev, Mark, MarkResult, Page, Query
from notify.domain.inbox_request import mark_of
from notify.ingest.fields import NO_OBJECT
from notify.ingest.http.body import BodyReader, parse
from notify.ingest.http.location import path_names, query
from notify.ingest.http.route_wrapper import RouteWrapper
from notify.ingest.inbox_schemas import InboxQuery
from notify.ingest.schemas import NoQuery, UserPath
from notify.protocol.validators import listed
from notify.service.inboxes import shown_page, shown_result

INBOX_PATH = "/v1/users/{id}/inbox"
MARK_PATH = "/v1/users/{id}/inbox/mark"
MAX_BODY = 80 * MAX_MARKED
"""Bytes of a mark with as many ids as there may be."""

USER, INBOX_QUERY, NO_QUERY = UserPath(), InboxQuery(), NoQuery()


class Inboxes(Protocol):
    """The part of `service.inboxes.Inboxes` that is used here. All raise Unavailable."""

    async def page(self, user: str, query: Query, *, if_rev: KnownRev | None = None) -> Page:
        """One page, or that nothing has changed since `if_rev`."""

    async def mark(self, user: str, mark: Mark) -> MarkResult:
        """Mark entries. Raises Invalid."""


class InboxRoutes:
    """The handlers, each: parse, call one verb, render."""

    def __init__(self, *, inboxes: Inboxes, bodies: BodyReader, now_ms: Callable[[], int]) -> None:
        """`now_ms` is the time by Redis' clock."""
        self._inboxes = inboxes
        self._bodies = bodies
        self._now_ms = now_ms

    def routes(self, wrapper: RouteWrapper) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        return {
            INBOX_PATH: [wrapper.bodiless("GET", INBOX_PATH, "inbox", "read", self.page)],
            MARK_PATH: [wrapper.post(MARK_PATH, "inbox_mark", "admin", self.mark)],
        }

    async def page(self, request: web.Request, key: ApiKey) -> web.Response:
        """A page of the inbox; 304 when the caller's copy still holds."""
        user = path_names(request, INBOX_PATH, USER)["id"]
        asked: Query = query(request, INBOX_QUERY)  # type: ignore[assignment]
        if_rev = asked.rev_in(listed(request.headers.get("If-None-Match")))
        page = await self._inboxes.page(user, asked, if_rev=if_rev)
        headers = {"ETag": asked.etag(page.at.rev), "Cache-Control": "private, no-cache"}
        if page.unchanged:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = "application/json"
        return web.Response(body=orjson.dumps(shown_page(page, asked)), headers=headers)

    async def mark(self, request: web.Request, key: ApiKey) -> web.Response:
        """Mark entries; every connection of the user is told."""
        user = path_names(request, MARK_PATH, USER)["id"]
        query(request, NO_QUERY)
        asked = parse(await self._bodies.read(request, limit=MAX_BODY))
        if not isinstance(asked, dict):
            raise Invalid("The body must be an object", errors=[FieldError("", NO_OBJECT)])
        result = await self._inboxes.mark(user, mark_of(asked, now_ms=self._now_ms()))
        headers = {"Content-Type": "application/json"}
        return web.Response(body=orjson.dumps(shown_result(result)), headers=headers)
