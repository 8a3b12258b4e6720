"""`/v1/notifications/{id}`: how far a notification has come, and taking it back."""

from __future__ import annotations

from typing import Any, Protocol

import orjson
from aiohttp import web
from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.validate import OneOf

from notify.domain.api_key import ApiKey
from notify.domain.notifications.receipts import (
    DEFAULT_RECIPIENTS_LISTED,
    MAX_RECIPIENTS_LISTED,
    Receipts,
    RecipientPage,
    Standing,
    parse_cursor,
)
from notify.ingest.fields import Between, Text
from notify.ingest.http.location import path_names, query
from notify.ingest.http.route_wrapper import RouteWrapper
from notify.ingest.inbox_schemas import Digits
from notify.ingest.notifications import PATH
from notify.ingest.schemas import NoQuery, Strict
from notify.service.notifications import shown_recipients, shown_standing

NOTIFICATION_PATH = f"{PATH}/{{id}}"


class NotificationPath(Strict):
    """The path of a notification."""

    id = Text(
        required=True,
        metadata={"description": "The notification's id.", "examples": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]},
    )


class ReceiptsQuery(Strict):
    """What is told of a notification."""

    recipients = Text(
        validate=OneOf(["true", "false"], error="must be one of {choices}"),
        metadata={
            "description": "`true` lists those whose inboxes have it, by name.",
            "default": "false",
            "examples": ["true"],
        },
    )
    limit = Digits(
        validate=Between(1, MAX_RECIPIENTS_LISTED),
        metadata={"description": "Recipients on a page, at most.", "default": DEFAULT_RECIPIENTS_LISTED},
    )
    after = Text(metadata={"description": "The `next` of the page before.", "examples": ["YWRh"]})

    @validates_schema
    def _belongs(self, found: dict[str, Any], **_: Any) -> None:
        for name in ("limit", "after"):
            if name in found and found.get("recipients") != "true":
                raise ValidationError("belongs to recipients=true", name)

    @post_load
    def _make(self, found: dict[str, Any], **_: Any) -> dict[str, Any]:
        after = found.get("after")
        name = None if after is None else parse_cursor(after)
        if after is not None and name is None:
            raise ValidationError("must be the `next` of the page before", "after")
        return {
            "recipients": found.get("recipients") == "true",
            "limit": found.get("limit", DEFAULT_RECIPIENTS_LISTED),
            "after": name,
        }


NOTIFICATION, RECEIPTS_QUERY, NO_QUERY = NotificationPath(), ReceiptsQuery(), NoQuery()


class Notifications(Protocol):
    """What is asked of `service.notifications.Notifications`. All raise NotFound and Unavailable."""

    async def find(self, notification_id: str) -> tuple[Standing, Receipts]:
        """How it stands, and how far it has come."""

    async def find_with_recipients(
        self, notification_id: str, *, after: str | None, limit: int
    ) -> tuple[Standing, Receipts, RecipientPage]:
        """The same, with some of those whose inboxes have it."""

    async def retract(self, notification_id: str) -> None:
        """Take it back."""


class ReceiptRoutes:
    """The handlers, each: parse, call one verb, render."""

    def __init__(self, *, notifications: Notifications) -> None:
        self._notifications = notifications

    def routes(self, wrapper: RouteWrapper) -> dict[str, list[web.RouteDef]]:
        """The routes by path."""
        path = NOTIFICATION_PATH
        return {
            path: [
                wrapper.bodiless("GET", path, "notification", "read", self.find),
                wrapper.bodiless("DELETE", path, "retract", "publish", self.retract),
            ]
        }

    async def find(self, request: web.Request, key: ApiKey) -> web.Response:
        """How a notification stands, with its recipients if they are asked for."""
        notification_id = path_names(request, NOTIFICATION_PATH, NOTIFICATION)["id"]
        asked = query(request, RECEIPTS_QUERY)
        if asked["recipients"]:
            standing, receipts, page = await self._notifications.find_with_recipients(
                notification_id, after=asked["after"], limit=asked["limit"]
            )
            document = {**shown_standing(standing, receipts), **shown_recipients(page)}
        else:
            document = shown_standing(*await self._notifications.find(notification_id))
        return web.Response(body=orjson.dumps(document), headers={"Content-Type": "application/json"})

    async def retract(self, request: web.Request, key: ApiKey) -> web.Response:
        """Cancel it, or take it out of inboxes and off screens: 204 when that is done."""
        notification_id = path_names(request, NOTIFICATION_PATH, NOTIFICATION)["id"]
        query(request, NO_QUERY)
        await self._notifications.retract(notification_id)
        return web.Response(status=204)
