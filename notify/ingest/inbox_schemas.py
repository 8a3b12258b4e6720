"""What is asked of inboxes, for the OpenAPI document; `domain.inbox_request` judges it, for both edges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import fields, post_load
from marshmallow.validate import OneOf

from notify.domain.inbox import DEFAULT_LISTED, MARKS, MAX_LISTED, MAX_MARKED, STATUSES, Query
from notify.domain.inbox_request import MAX_CATEGORIES, query_of
from notify.ingest.fields import Between, Listed, Text, Whole, count
from notify.ingest.schemas import CATEGORY, Strict

_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)


class Digits(Whole):
    """A whole number as a URL has it."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not isinstance(value, str) or not _DIGITS.fullmatch(value):
            raise self.make_error("invalid")
        return int(value)


class InboxQuery(Strict):
    """Which entries of an inbox."""

    limit = Digits(
        validate=Between(0, MAX_LISTED),
        metadata={
            "description": "Maximum number of entries on a page, which also ends at 256 KiB. 0: only the "
            "counts.",
            "default": DEFAULT_LISTED,
        },
    )
    after = Text(
        metadata={
            "description": "The `next` of the previous page. Nothing is skipped or repeated while new "
            "entries arrive.",
            "examples": ["1795650953811"],
        }
    )
    status = Text(
        validate=OneOf(sorted(STATUSES), error="must be one of {choices}"),
        metadata={
            "description": "`all`, `unseen`, `unread` and `read` leave out what is archived or snoozed.",
            "default": "all",
        },
    )
    category = Listed(
        Text(validate=CATEGORY),
        validate=count(1, MAX_CATEGORIES, "categories"),
        metadata={
            "description": "Only entries of these categories. Repeat it for several.",
            "examples": [["ci"]],
        },
    )
    by = Text(
        validate=OneOf(["category"], error="must be {choices}"),
        metadata={"description": "Also give the counts of each category.", "examples": ["category"]},
    )

    @post_load
    def _make(self, found: dict[str, Any], **_: Any) -> Query:
        return query_of(found, inside="/query")


class MarkSchema(Strict):
    """How to mark entries: `ids`, or `up_to` and everything older."""

    as_ = Text(
        data_key="as",
        required=True,
        validate=OneOf(sorted(MARKS), error="must be one of {choices}"),
        metadata={"description": "`read` implies `seen`, `seen` implies `delivered`.", "examples": ["read"]},
    )
    ids = Listed(
        Text(),
        validate=count(1, MAX_MARKED, "ids"),
        metadata={
            "description": "These notifications. Those that are not in the inbox are returned as `missing`.",
            "examples": [["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E"]],
        },
    )
    up_to = fields.Raw(
        metadata={
            "description": "An id, or a `place`: this entry and all older ones that are neither archived nor "
            "snoozed. What arrives meanwhile is not marked.",
            "type": ["string", "integer"],
            "examples": ["ntf_01JD3Y6Z2M8Q4T0V5W7X9B1C3E", 1795650953811],
        }
    )
    category = Text(
        validate=CATEGORY,
        metadata={"description": "With `up_to`: only entries of this category.", "examples": ["ci"]},
    )
    until = Text(
        metadata={
            "description": "For `snoozed`: when it comes back on top, unseen and unread.",
            "format": "date-time",
            "examples": ["2026-12-01T09:00:00Z"],
        }
    )
